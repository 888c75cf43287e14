package dev.corral.management.endpoint;

import java.time.Instant;
import java.util.function.Supplier;

import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.boot.actuate.health.Status;

/**
 * Reports whether Redis is available. While it is not, the status is {@code DEGRADED} and not {@code DOWN}: this replica keeps
 * serving, without the fleet. Liveness and readiness do not depend on it.
 */
public final class RedisHealthIndicator implements HealthIndicator {

    /** The replica works without Redis and so without the fleet. */
    private static final Status DEGRADED = new Status("DEGRADED");

    /**
     * The availability of Redis.
     *
     * @param isUp   whether Redis is available
     * @param since  the time of the last change
     * @param reason why Redis is unavailable; empty when it is available
     */
    public record RedisStatus(boolean isUp, Instant since, String reason) {}

    private final Supplier<RedisStatus> status;

    /** @param status must not block */
    public RedisHealthIndicator(Supplier<RedisStatus> status) {
        this.status = status;
    }

    @Override
    public Health health() {
        RedisStatus current = status.get();
        Health.Builder health = current.isUp
                ? Health.up()
                : Health.status(DEGRADED).withDetail("reason", current.reason);
        return health.withDetail("since", current.since).build();
    }
}
