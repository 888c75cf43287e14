package dev.corral.dev;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A master with a replica and three Sentinels that watch them, for tests of a failover. Embedded only. */
public final class RedisSentinels implements AutoCloseable {

    /** The name the Sentinels know the master by. */
    public static final String MASTER_NAME = "corral";

    private static final int SENTINELS = 3;
    private static final int QUORUM = 2;
    private static final Duration FORMATION_TIMEOUT = Duration.ofSeconds(30);

    private final List<EmbeddedRedis> servers = new ArrayList<>();
    private final List<EmbeddedRedis> sentinels = new ArrayList<>();

    private RedisSentinels() {}

    /** Starts all five, and returns when the replica follows and the Sentinels know it and each other. */
    public static RedisSentinels start() {
        var all = new RedisSentinels();
        try {
            all.startServers();
            all.startSentinels();
            return all;
        } catch (RuntimeException e) {
            all.close();
            throw e;
        }
    }

    /** The server that was the master at the start. */
    public EmbeddedRedis first() {
        return servers.getFirst();
    }

    /** The server that was the replica at the start. */
    public EmbeddedRedis second() {
        return servers.getLast();
    }

    /** The three Sentinels. */
    public List<EmbeddedRedis> sentinels() {
        return List.copyOf(sentinels);
    }

    /** The port of the server that is the master now, as the first Sentinel has it. */
    public int masterPort() {
        String address = sentinels.getFirst().execute("SENTINEL get-master-addr-by-name " + MASTER_NAME);
        return Integer.parseInt(address.lines().toList().getLast());
    }

    /** Kills the first master and returns when all Sentinels name the second server and it takes writes. */
    public void failOver() {
        first().stop();
        Eventually.await("the replica is master", FORMATION_TIMEOUT,
                () -> sentinels.stream().allMatch(this::namesSecond)
                        && second().execute("ROLE").startsWith("master"));
    }

    /** What Spring must be told to use these. */
    public Map<String, String> settings() {
        String addresses = sentinels.stream()
                .map(sentinel -> sentinel.host() + ":" + sentinel.port())
                .collect(Collectors.joining(","));
        return Map.of("spring.data.redis.sentinel.master", MASTER_NAME, "spring.data.redis.sentinel.nodes", addresses);
    }

    @Override
    public void close() {
        sentinels.forEach(EmbeddedRedis::close);
        servers.forEach(EmbeddedRedis::close);
    }

    private void startServers() {
        // Without the delay the replica's first copy starts 5 s after it asks.
        servers.add(EmbeddedRedis.start("--repl-diskless-sync-delay", "0"));
        servers.add(EmbeddedRedis.start("--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1",
                Integer.toString(first().port())));
        Eventually.await("the replica follows", FORMATION_TIMEOUT, () -> second().execute("INFO replication")
                .contains("master_link_status:up"));
    }

    private void startSentinels() {
        String configuration = """
                sentinel monitor %1$s 127.0.0.1 %2$d %3$d
                sentinel down-after-milliseconds %1$s 1000
                sentinel failover-timeout %1$s 5000
                sentinel parallel-syncs %1$s 1
                """.formatted(MASTER_NAME, first().port(), QUORUM);
        for (int i = 0; i < SENTINELS; i++) {
            sentinels.add(EmbeddedRedis.sentinel(configuration));
        }
        Eventually.await("the Sentinels know all", FORMATION_TIMEOUT,
                () -> sentinels.stream().allMatch(RedisSentinels::knowsAll));
    }

    private static boolean knowsAll(EmbeddedRedis sentinel) {
        String master = sentinel.execute("INFO sentinel");
        return master.contains("slaves=1,sentinels=" + SENTINELS);
    }

    private boolean namesSecond(EmbeddedRedis sentinel) {
        return sentinel.execute("SENTINEL get-master-addr-by-name " + MASTER_NAME)
                .endsWith(Integer.toString(second().port()));
    }
}
