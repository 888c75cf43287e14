package dev.corral.management.endpoint;

import java.util.Optional;
import java.util.function.Supplier;
import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.boot.actuate.health.Status;

/**
 * Reports whether this replica's id is unique. {@code DEGRADED} while another live process has the same id: both serve, but a purge
 * may count the acknowledgement of one for the other. Liveness and readiness do not depend on it.
 */
public final class FleetHealthIndicator implements HealthIndicator {

    private static final Status DEGRADED = new Status("DEGRADED");

    private final String replicaId;
    private final Supplier<Optional<String>> duplicateIncarnation;

    /** @param duplicateIncarnation the incarnation of another live process with this id; must not block */
    public FleetHealthIndicator(String replicaId, Supplier<Optional<String>> duplicateIncarnation) {
        this.replicaId = replicaId;
        this.duplicateIncarnation = duplicateIncarnation;
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
