package dev.corral.management.endpoint;

import java.time.Instant;
import java.util.function.Supplier;

import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.boot.actuate.health.Status;

/**
 * Says whether Redis answers. Its absence is a state of its own, {@code DEGRADED}: this replica serves on, by itself. Neither
 * liveness nor readiness asks.
 */
public final class RedisHealthIndicator implements HealthIndicator {

    /** This replica goes on without the fleet. */
    private static final Status DEGRADED = new Status("DEGRADED");

    /**
     * How Redis is.
     *
     * @param isUp   whether it answers
     * @param since  since when
     * @param reason why not; empty when it answers
     */
    public record RedisStatus(boolean isUp, Instant since, String reason) {}

    private final Supplier<RedisStatus> status;

    /** @param tier never blocks */
    public RedisHealthIndicator(Supplier<RedisStatus> tier) {
        this.status = tier;
    }

    @Override
    public Health health() {
        RedisStatus now = status.get();
        Health.Builder health = now.isUp ? Health.up() : Health.status(DEGRADED).withDetail("reason", now.reason);
        return health.withDetail("since", now.since).build();
    }
}
