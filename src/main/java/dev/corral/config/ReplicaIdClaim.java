package dev.corral.config;

import dev.corral.coalesce.TierUnavailableException;
import dev.corral.redis.fleet.ReplicaRegistry;
import dev.corral.redis.fleet.ReplicaRegistry.ClaimResult;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.SmartLifecycle;

/**
 * Prevents the start of a second process with the same replica ID. A dead process sends no further heartbeat: its successor waits
 * until it no longer counts as live, then starts. Without Redis the start continues, and later heartbeats check the ID.
 */
final class ReplicaIdClaim implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(ReplicaIdClaim.class);

    /** Interval between checks of the other process; several fall between two of its heartbeats. */
    private static final Duration CHECK_INTERVAL = Duration.ofMillis(200);

    /** Time limit of one check when Redis is slow. After that the start continues as without Redis. */
    private static final Duration CHECK_TIMEOUT = Duration.ofSeconds(5);

    private final ReplicaRegistry replicaRegistry;
    private final String replicaId;
    private volatile boolean running;

    ReplicaIdClaim(ReplicaRegistry fleet, String replicaId) {
        this.replicaRegistry = fleet;
        this.replicaId = replicaId;
    }

    @Override
    public void start() {
        try {
            claim();
        } catch (TierUnavailableException e) {
            log.debug("Redis is unavailable; the replica ID is checked by later heartbeats", e);
        }
        running = true;
    }

    private void claim() {
        Optional<ClaimResult.Taken> first = findOtherHolder();
        if (first.isPresent()) {
            log.info("Another process used corral.replica-id {} a moment ago: waiting up to {} ms for its end",
                    replicaId, first.get().remainingLiveness().toMillis());
        }
        Optional<ClaimResult.Taken> other = first;
        while (other.isPresent()) {
            if (!other.get().lastHeartbeat().equals(first.orElseThrow().lastHeartbeat())) {
                throw new InvalidConfigurationPropertyValueException("corral.replica-id", replicaId,
                        "Another live process of the fleet has this ID. Give each replica a unique ID, or none to get a random "
                                + "one. Fleets that share a Redis each need their own corral.redis.key-prefix or database.");
            }
            sleep();
            other = findOtherHolder();
        }
    }

    /** The other process with this ID; empty when this process has it. */
    private Optional<ClaimResult.Taken> findOtherHolder() {
        return switch (replicaRegistry.claimReplicaId()
                .timeout(CHECK_TIMEOUT)
                .onErrorMap(TimeoutException.class, e -> new TierUnavailableException("Redis is slow", e))
                .blockOptional()
                .orElseThrow()) {
            case ClaimResult.Granted granted -> Optional.empty();
            case ClaimResult.Taken taken -> Optional.of(taken);
        };
    }

    private static void sleep() {
        try {
            Thread.sleep(CHECK_INTERVAL);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting", e);
        }
    }

    @Override
    public void stop() {
        running = false;
    }

    @Override
    public boolean isRunning() {
        return running;
    }

    /** After {@link RedisLifecycle}, before the first heartbeat. */
    @Override
    public int getPhase() {
        return 1_500;
    }
}
