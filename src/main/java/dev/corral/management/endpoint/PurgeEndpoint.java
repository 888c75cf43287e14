package dev.corral.management.endpoint;

import dev.corral.management.fleet.FleetMonitor;
import dev.corral.management.purge.PurgeController;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;

/** The fleet's purges as this replica knows them: {@code GET /actuator/purge}. To purge, {@code POST} there: {@link PurgeController}. */
@Endpoint(id = "purge")
public final class PurgeEndpoint {

    /**
     * Where the fleet's purges stand.
     *
     * @param position up to which nothing is missing in this replica
     * @param last     the latest first; only those that operators asked for
     */
    public record PurgeStatus(long position, List<FleetMonitor.RecentPurge> last) {}

    private final LongSupplier position;
    private final Supplier<List<FleetMonitor.RecentPurge>> recentPurges;

    /** Tells these. */
    public PurgeEndpoint(LongSupplier position, Supplier<List<FleetMonitor.RecentPurge>> last) {
        this.position = position;
        this.recentPurges = last;
    }

    /** Position, and the last purges. */
    @ReadOperation
    public PurgeStatus purgeStatus() {
        return new PurgeStatus(position.getAsLong(), recentPurges.get());
    }
}
