package dev.corral.ops;

import java.util.List;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;

/** The fleet's purges as this replica knows them: {@code GET /actuator/purge}. To purge, {@code POST} there: {@link Control}. */
@Endpoint(id = "purge")
public final class PurgeEndpoint {

    /**
     * Where the fleet's purges stand.
     *
     * @param position up to which nothing is missing in this replica
     * @param last     the latest first; only those that operators asked for
     */
    public record Standing(long position, List<Board.Purged> last) {}

    private final LongSupplier position;
    private final Supplier<List<Board.Purged>> last;

    /** Tells these. */
    public PurgeEndpoint(LongSupplier position, Supplier<List<Board.Purged>> last) {
        this.position = position;
        this.last = last;
    }

    /** Position, and the last purges. */
    @ReadOperation
    public Standing purges() {
        return new Standing(position.getAsLong(), last.get());
    }
}
