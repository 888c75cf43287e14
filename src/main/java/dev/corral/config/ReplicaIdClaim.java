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
 * Refuses to start a second process with one replica id. A process that is dead but was live a moment ago has no later beat: its
 * successor waits until it no longer counts as live, and starts. Without Redis the start goes on; the beats check the id later.
 */
final class ReplicaIdClaim implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(ReplicaIdClaim.class);

    /** How often the other process is looked at: several times between two of its beats. */
    private static final Duration CHECK_INTERVAL = Duration.ofMillis(200);

    /** The longest wait for one look, where Redis is slow; then the start goes on as without Redis. */
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
        } catch (TierUnavailableException away) {
            log.debug("Whether the replica id is taken will be seen once Redis is there", away);
        }
        running = true;
    }

    private void claim() {
        Optional<ClaimResult.Taken> first = findOtherHolder();
        if (first.isPresent()) {
            log.info("A process with the corral.replica-id {} was live a moment ago: waiting up to {} ms for its end",
                    replicaId, first.get().remainingLiveness().toMillis());
        }
        Optional<ClaimResult.Taken> other = first;
        while (other.isPresent()) {
            if (!other.get().lastHeartbeat().equals(first.orElseThrow().lastHeartbeat())) {
                throw new InvalidConfigurationPropertyValueException("corral.replica-id", replicaId,
                        "Another live process of the fleet has this id. Give each replica an id of its own, or none: then it is "
                                + "random. Fleets that share a Redis need a corral.redis.key-prefix or a database each.");
            }
            sleep();
            other = findOtherHolder();
        }
    }

    /** The other process; empty when the id is this one's own. */
    private Optional<ClaimResult.Taken> findOtherHolder() {
        return switch (replicaRegistry.claimReplicaId()
                .timeout(CHECK_TIMEOUT)
                .onErrorMap(TimeoutException.class, slow -> new TierUnavailableException("Redis is slow", slow))
                .blockOptional()
                .orElseThrow()) {
            case ClaimResult.Granted granted -> Optional.empty();
            case ClaimResult.Taken taken -> Optional.of(taken);
        };
    }

    private static void sleep() {
        try {
            Thread.sleep(CHECK_INTERVAL);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting", stopped);
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

    /** After the link to the fleet, before the first beat. */
    @Override
    public int getPhase() {
        return 1_500;
    }
}
