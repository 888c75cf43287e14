package dev.corral.config;

import dev.corral.management.fleet.FleetMonitor;
import dev.corral.redis.fleet.ReplicaRegistry;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import reactor.core.publisher.Mono;

/** The fleet's record in Redis, as the board needs it. */
record RedisFleetRegistry(ReplicaRegistry replicaRegistry) implements FleetMonitor.FleetRegistry {

    @Override
    public boolean isHistoryPointDue(Instant now) {
        return replicaRegistry.isHistoryPointDue(now);
    }

    @Override
    public Mono<Optional<String>> heartbeat(String status, Optional<String> point, Instant now) {
        return point.map(some -> replicaRegistry.heartbeat(status, some, now))
                .orElseGet(() -> replicaRegistry.heartbeat(status));
    }

    @Override
    public Mono<List<FleetMonitor.ReplicaSnapshot>> replicas() {
        return replicaRegistry.replicas().map(RedisFleetRegistry::toSnapshots);
    }

    @Override
    public Mono<List<FleetMonitor.FleetHistoryPoint>> history(Instant now) {
        return replicaRegistry.history(now)
                .map(steps -> steps.stream()
                        .map(past -> new FleetMonitor.FleetHistoryPoint(past.time(), toSnapshots(past.replicas())))
                        .toList());
    }

    @Override
    public Mono<Void> deregister() {
        return replicaRegistry.deregister();
    }

    private static List<FleetMonitor.ReplicaSnapshot> toSnapshots(List<ReplicaRegistry.ReplicaRecord> members) {
        return members.stream()
                .map(member -> new FleetMonitor.ReplicaSnapshot(member.id(), member.lastHeartbeat(), member.isLive(),
                        member.statusJson()))
                .toList();
    }
}
