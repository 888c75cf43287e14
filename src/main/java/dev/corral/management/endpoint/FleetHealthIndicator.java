package dev.corral.management.endpoint;

import java.util.Optional;
import java.util.function.Supplier;
import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.boot.actuate.health.Status;

/**
 * Whether this replica's id is its own. With another live process of the same id it is {@code DEGRADED}: both serve, but a purge
 * may count an acknowledgement of one for the other. Neither liveness nor readiness depends on it.
 */
public final class FleetHealthIndicator implements HealthIndicator {

    private static final Status DEGRADED = new Status("DEGRADED");

    private final String replicaId;
    private final Supplier<Optional<String>> duplicateIncarnation;

    /** @param duplicate the incarnation of another process with this id; never blocks */
    public FleetHealthIndicator(String replicaId, Supplier<Optional<String>> duplicate) {
        this.replicaId = replicaId;
        this.duplicateIncarnation = duplicate;
    }

    @Override
    public Health health() {
        Health.Builder health = duplicateIncarnation.get()
                .map(other -> Health.status(DEGRADED)
                        .withDetail("reason", "another live process (incarnation " + other
                                + ") has the same corral.replica-id"))
                .orElseGet(Health::up);
        return health.withDetail("replicaId", replicaId).build();
    }
}
