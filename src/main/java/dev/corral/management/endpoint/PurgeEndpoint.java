package dev.corral.management.endpoint;

import dev.corral.management.fleet.FleetMonitor;
import dev.corral.management.purge.PurgeController;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;

/** The fleet's purges as known to this replica: {@code GET /actuator/purge}. {@link PurgeController} handles the {@code POST}. */
@Endpoint(id = "purge")
public final class PurgeEndpoint {

    /**
     * The state of the fleet's purges.
     *
     * @param position the purge position up to which this replica knows all purges
     * @param last     the last purges of operators, the latest first
     */
    public record PurgeStatus(long position, List<FleetMonitor.RecentPurge> last) {}

    private final LongSupplier position;
    private final Supplier<List<FleetMonitor.RecentPurge>> recentPurges;

    /**
     * @param position     the purge position up to which this replica knows all purges
     * @param recentPurges the last purges of operators, the latest first
     */
    public PurgeEndpoint(LongSupplier position, Supplier<List<FleetMonitor.RecentPurge>> recentPurges) {
        this.position = position;
        this.recentPurges = recentPurges;
    }

    /** The purge position and the last purges. */
    @ReadOperation
    public PurgeStatus purgeStatus() {
        return new PurgeStatus(position.getAsLong(), recentPurges.get());
    }
}
