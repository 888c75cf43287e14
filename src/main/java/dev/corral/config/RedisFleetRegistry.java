package dev.corral.config;

import dev.corral.management.fleet.FleetMonitor;
import dev.corral.redis.fleet.ReplicaRegistry;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import reactor.core.publisher.Mono;

/** Adapts the fleet's record in Redis to the dashboard's port. */
record RedisFleetRegistry(ReplicaRegistry replicaRegistry) implements FleetMonitor.FleetRegistry {

    @Override
    public boolean isHistoryPointDue(Instant now) {
        return replicaRegistry.isHistoryPointDue(now);
    }

    @Override
    public Mono<Optional<String>> heartbeat(String status, Optional<String> point, Instant now) {
        return point.map(due -> replicaRegistry.heartbeat(status, due, now))
                .orElseGet(() -> replicaRegistry.heartbeat(status));
    }

    @Override
    public Mono<List<FleetMonitor.ReplicaSnapshot>> replicas() {
        return replicaRegistry.replicas().map(RedisFleetRegistry::toSnapshots);
    }

    @Override
    public Mono<List<FleetMonitor.FleetHistoryPoint>> history(Instant now) {
        return replicaRegistry.history(now)
                .map(points -> points.stream()
                        .map(point -> new FleetMonitor.FleetHistoryPoint(point.time(), toSnapshots(point.replicas())))
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
