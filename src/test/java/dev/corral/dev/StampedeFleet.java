package dev.corral.dev;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Replicas of Corral with the same settings. */
final class StampedeFleet implements AutoCloseable {

    private static final Duration START_TIMEOUT = Duration.ofSeconds(90);

    private final List<ReplicaProcess> replicas = new ArrayList<>();

    private StampedeFleet() {}

    /** Starts that many replicas by that command, and returns when all are ready. */
    static StampedeFleet start(int size, List<String> command, Map<String, String> settings) {
        var fleet = new StampedeFleet();
        try {
            for (int i = 1; i <= size; i++) {
                var own = new HashMap<>(settings);
                own.put("corral.replica-id", "replica-" + i);
                fleet.replicas.add(ReplicaProcess.start(command, own));
            }
            fleet.replicas.forEach(replica -> replica.awaitReady(START_TIMEOUT));
            return fleet;
        } catch (RuntimeException e) {
            fleet.close();
            throw e;
        }
    }

    List<Integer> ports() {
        return replicas.stream().map(ReplicaProcess::port).toList();
    }

    @Override
    public void close() {
        replicas.forEach(ReplicaProcess::close);
    }
}
