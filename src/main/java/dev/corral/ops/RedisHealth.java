package dev.corral.ops;

import java.time.Instant;
import java.util.function.Supplier;

import org.springframework.boot.actuate.health.Health;
import org.springframework.boot.actuate.health.HealthIndicator;
import org.springframework.boot.actuate.health.Status;

/**
 * Says whether Redis answers. Its absence is a state of its own, {@code DEGRADED}: this replica serves on, by itself. Neither
 * liveness nor readiness asks.
 */
public final class RedisHealth implements HealthIndicator {

    /** This replica goes on without the fleet. */
    private static final Status DEGRADED = new Status("DEGRADED");

    /**
     * How Redis is.
     *
     * @param up     whether it answers
     * @param since  since when
     * @param reason why not; empty when it answers
     */
    public record Tier(boolean up, Instant since, String reason) {}

    private final Supplier<Tier> tier;

    /** @param tier never blocks */
    public RedisHealth(Supplier<Tier> tier) {
        this.tier = tier;
    }

    @Override
    public Health health() {
        Tier now = tier.get();
        Health.Builder health = now.up ? Health.up() : Health.status(DEGRADED).withDetail("reason", now.reason);
        return health.withDetail("since", now.since).build();
    }
}
