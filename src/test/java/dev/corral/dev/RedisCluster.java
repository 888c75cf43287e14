package dev.corral.dev;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A Redis Cluster of three masters, each with a third of the slots, for tests. Embedded only. */
public final class RedisCluster implements AutoCloseable {

    private static final int MASTERS = 3;
    private static final int SLOTS = 16_384;
    private static final Duration FORMATION_TIMEOUT = Duration.ofSeconds(30);

    private final List<EmbeddedRedis> nodes = new ArrayList<>();

    private RedisCluster() {}

    /** Starts the nodes with these arguments after their own, and returns when each knows all and every slot is served. */
    public static RedisCluster start(String... args) {
        var cluster = new RedisCluster();
        try {
            List<Integer> busPorts = FreePort.pick(MASTERS);
            busPorts.forEach(busPort -> cluster.nodes.add(EmbeddedRedis.start(nodeArgs(busPort, args))));
            cluster.form(busPorts);
            return cluster;
        } catch (RuntimeException e) {
            cluster.close();
            throw e;
        }
    }

    /** The masters, by slot range. */
    public List<EmbeddedRedis> nodes() {
        return List.copyOf(nodes);
    }

    /** What Spring must be told to use this cluster. */
    public Map<String, String> settings() {
        String addresses = nodes.stream().map(node -> node.host() + ":" + node.port()).collect(Collectors.joining(","));
        return Map.of("spring.data.redis.cluster.nodes", addresses);
    }

    @Override
    public void close() {
        nodes.forEach(EmbeddedRedis::close);
    }

    private static String[] nodeArgs(int busPort, String... args) {
        var all = new ArrayList<>(List.of("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
                "--cluster-node-timeout", "2000", "--cluster-port", Integer.toString(busPort)));
        all.addAll(List.of(args));
        return all.toArray(String[]::new);
    }

    private void form(List<Integer> busPorts) {
        for (int i = 0; i < MASTERS; i++) {
            EmbeddedRedis node = nodes.get(i);
            // Epochs of their own, or the first collision of three nodes that all have epoch 0 has to be voted out.
            node.execute("CLUSTER SET-CONFIG-EPOCH " + (i + 1),
                    "CLUSTER ADDSLOTSRANGE " + SLOTS * i / MASTERS + " " + (SLOTS * (i + 1) / MASTERS - 1));
            for (int other = 0; other < i; other++) {
                node.execute("CLUSTER MEET 127.0.0.1 " + nodes.get(other).port() + " " + busPorts.get(other));
            }
        }
        Eventually.await("the cluster has formed", FORMATION_TIMEOUT,
                () -> nodes.stream().allMatch(RedisCluster::knowsAll));
    }

    private static boolean knowsAll(EmbeddedRedis node) {
        String info = node.execute("CLUSTER INFO");
        return info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:" + MASTERS)
                && info.contains("cluster_slots_ok:" + SLOTS);
    }
}
