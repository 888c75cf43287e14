package dev.corral.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.RedisServer;
import dev.corral.dev.StubRequest;
import dev.corral.dev.StubResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.http.HttpClient;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.awaitility.Awaitility;

/**
 * Three replicas with one real Redis and one origin in this JVM. Tests may inject any fault from which the fleet recovers on its own; a
 * replica that has to die must be an additional one. Everything ends with this JVM. Not thread-safe.
 */
final class ProcessFleet implements AutoCloseable {

    /** A second longer than the default, because renewals may be late on a busy machine. */
    static final Duration LEASE = Duration.ofSeconds(3);

    /** Limit of waiters per key in a replica. */
    static final int MAX_WAITERS_PER_KEY = 120;

    /** Limit of waiters of all keys in a replica. */
    static final int MAX_WAITERS_PER_REPLICA = 300;

    /** Limit of concurrent origin requests of a replica for paths below {@code /narrow}. */
    static final int NARROW_ROUTE_CONCURRENCY = 2;

    /** Twenty times the default, for the same reason: a command that is late is a Redis that is away, and costs a fetch. */
    static final Duration REDIS_TIMEOUT = Duration.ofSeconds(2);

    private enum RedisCondition {
        SERVING, PAUSED, STOPPED
    }

    private static final int SIZE = 3;
    private static final Duration START_TIMEOUT = Duration.ofSeconds(90);
    private static final Duration RECOVERY_TIMEOUT = Duration.ofSeconds(20);

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(2))
            .build();
    private final EmbeddedRedis redis = RedisServer.embedded();
    private final DemoShop origin = DemoShop.start(Duration.ZERO);
    private final int unusedPort = FreePort.pick();
    private final Path logs = Path.of(System.getProperty("corral.jar", "target/corral.jar")).resolveSibling("fleet");
    private final List<JarReplica> replicas = new ArrayList<>();
    private final List<JarReplica> temporaryReplicas = new ArrayList<>();
    private final List<HeldOriginPath> heldPaths = new ArrayList<>();
    private final List<Pattern> expectedFaults = new ArrayList<>();

    private RedisCondition redisCondition = RedisCondition.SERVING;

    private ProcessFleet() {}

    /** Starts everything and returns when all replicas have served a request. */
    static ProcessFleet start() {
        var fleet = new ProcessFleet();
        try {
            for (int i = 1; i <= SIZE; i++) {
                fleet.replicas.add(fleet.launch("replica-" + i, Map.of()));
            }
            fleet.replicas.forEach(fleet::awaitReady);
            warmUp(fleet.replicas);
            return fleet;
        } catch (RuntimeException | Error e) {
            fleet.close();
            throw e;
        }
    }

    List<JarReplica> replicas() {
        return List.copyOf(replicas);
    }

    /** The replica with this index: 0, 1 or 2. */
    JarReplica replica(int index) {
        return replicas.get(index);
    }

    /** The other two replicas. */
    List<JarReplica> replicasExcept(JarReplica one) {
        return replicas.stream().filter(replica -> replica != one).toList();
    }

    EmbeddedRedis redis() {
        return redis;
    }

    /** Holds the origin's responses for a path. Released after the test, so that no flight remains. */
    HeldOriginPath holdPath(String path, Function<StubRequest, StubResponse> answers) {
        HeldOriginPath one = HeldOriginPath.holdAt(origin, path, answers);
        heldPaths.add(one);
        return one;
    }

    /** Kills Redis with all its data. */
    void stopRedis() {
        redisCondition = RedisCondition.STOPPED;
        redis.stop();
    }

    /** Pauses Redis: it accepts commands but does not reply. */
    void pauseRedis() {
        redisCondition = RedisCondition.PAUSED;
        redis.pause();
    }

    /** Resumes a paused Redis, or starts a killed one, empty. */
    void restoreRedis() {
        switch (redisCondition) {
            case SERVING -> {
                // It is running.
            }
            case PAUSED -> redis.resume();
            case STOPPED -> redis.restart();
        }
        redisCondition = RedisCondition.SERVING;
    }

    /** The origin of paths below {@code /dark}: a port without a listener. */
    int unusedPort() {
        return unusedPort;
    }

    /** Starts an additional replica with these settings, and waits until it uses Redis. It is killed after the test. */
    JarReplica startReplica(String name, Map<String, String> settings) {
        JarReplica guest = startReplicaWithoutWarmUp(name, settings);
        warmUp(List.of(guest));
        return guest;
    }

    /** Starts an additional replica and waits only for readiness, because Redis may be unavailable. */
    JarReplica startReplicaWithoutWarmUp(String name, Map<String, String> settings) {
        JarReplica guest = launch(name, settings);
        temporaryReplicas.add(guest);
        awaitReady(guest);
        return guest;
    }

    /** Restarts an additional replica that has ended, on the same ports, and waits for readiness. It is killed after the test. */
    JarReplica restart(JarReplica ended) {
        JarReplica again = ended.restart();
        temporaryReplicas.add(again);
        awaitReady(again);
        return again;
    }

    /** Log faults that match the pattern are expected in the current test. */
    void expectFault(String pattern) {
        expectedFaults.add(Pattern.compile(pattern));
    }

    /** Waits until every replica uses Redis and no flight is in progress. */
    void awaitIdleAndConnected() {
        awaitIdleAndConnected(replicas);
    }

    private static void awaitIdleAndConnected(List<JarReplica> replicas) {
        await("all replicas are with Redis, and nothing is in the air", RECOVERY_TIMEOUT, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 1
                        && replica.metric("corral_flights") == 0
                        && replica.metric("corral_waiters") == 0));
    }

    /** Waits until every replica has detected that Redis is unavailable. */
    void awaitDegraded() {
        await("every replica is on its own", RECOVERY_TIMEOUT, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 0));
    }

    /** Waits until exactly this many requests wait for a flight, in the whole fleet. */
    void awaitWaiting(int requests) {
        awaitSum(requests + " wait", requests, replica -> replica.metric("corral_waiters"));
    }

    /** Waits until this many registrations of waiting replicas are in Redis, over all keys. */
    void awaitFollowers(int registrations) {
        await(registrations + " followers", HeldOriginPath.TIMEOUT, () -> followers() == registrations);
    }

    private int followers() {
        return redis.execute("KEYS corral:*:wait")
                .lines()
                .filter(key -> !key.isEmpty())
                .mapToInt(key -> Integer.parseInt(redis.execute("SCARD " + key)))
                .sum();
    }

    /** The keys that are locked. */
    List<String> leases() {
        return redis.execute("KEYS corral:*:lock").lines().filter(key -> !key.isEmpty()).toList();
    }

    /** The sum of a metric over all replicas. */
    double sum(String metric) {
        return liveReplicas().mapToDouble(replica -> replica.metric(metric)).sum();
    }

    /** Ends the test: kills additional replicas and returns the unexpected faults. */
    List<String> endTest() {
        heldPaths.forEach(HeldOriginPath::releaseAll);
        heldPaths.clear();
        List<String> faults = newFaults();
        temporaryReplicas.forEach(JarReplica::close);
        temporaryReplicas.clear();
        expectedFaults.clear();
        return faults;
    }

    /** Returns the buffers leaked so far. Netty detects a leak after garbage collection, when it allocates a buffer. */
    List<String> leakedBuffers() {
        for (JarReplica replica : replicas) {
            collectGarbage(replica);
        }
        warmUp(replicas);
        return newFaults();
    }

    @Override
    public void close() {
        Stream.concat(temporaryReplicas.stream(), replicas.stream()).forEach(JarReplica::close);
        redis.close();
        origin.close();
        http.close();
    }

    static void await(String what, Duration bound, java.util.concurrent.Callable<Boolean> so) {
        Awaitility.await(what).atMost(bound).pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(20)).until(so);
    }

    private void awaitSum(String what, int expected, ToDoubleFunction<JarReplica> part) {
        await(what, HeldOriginPath.TIMEOUT, () -> liveReplicas().mapToDouble(part).sum() == expected);
    }

    private Stream<JarReplica> liveReplicas() {
        return Stream.concat(replicas.stream(), temporaryReplicas.stream())
                .filter(replica -> replica.process().isAlive());
    }

    private List<String> newFaults() {
        return Stream.concat(replicas.stream(), temporaryReplicas.stream())
                .flatMap(replica -> replica.log().newFaults(expectedFaults).stream())
                .toList();
    }

    private void awaitReady(JarReplica replica) {
        await(replica.name() + " is ready", START_TIMEOUT, replica::isReady);
    }

    /** The first requests of a JVM load many classes, so no time limit applies to them. */
    private static void warmUp(List<JarReplica> replicas) {
        var clients = new FleetClients();
        awaitIdleAndConnected(replicas);
        for (int i = 0; i < 10; i++) {
            clients.request(replicas, replicas.size(), "/private/warm-up/" + i).awaitAll();
            clients.request(replicas, replicas.size(), "/products/warm-up-" + i).awaitAll();
        }
        awaitIdleAndConnected(replicas);
    }

    private JarReplica launch(String name, Map<String, String> settings) {
        var all = new HashMap<>(redis.settings());
        all.put("spring.data.redis.timeout", REDIS_TIMEOUT.toMillis() + "ms");
        all.put("corral.lease.ttl", LEASE.toMillis() + "ms");
        all.put("corral.waiters.per-key", Integer.toString(MAX_WAITERS_PER_KEY));
        all.put("corral.waiters.per-replica", Integer.toString(MAX_WAITERS_PER_REPLICA));
        // No warm-up: its entries in Redis would disturb the counts of the tests.
        all.put("corral.warm-up.enabled", "false");
        all.put("corral.management.users[0].name", JarReplica.OPERATOR);
        all.put("corral.management.users[0].password", JarReplica.PASSWORD);
        all.put("corral.management.users[0].role", "operator");
        route(all, 0, "narrow", "/narrow/**", origin.url());
        all.put("corral.routes[0].concurrency", Integer.toString(NARROW_ROUTE_CONCURRENCY));
        route(all, 1, "dark", "/dark/**", "http://127.0.0.1:" + unusedPort);
        route(all, 2, "shop", "/**", origin.url());
        all.putAll(settings);
        return JarReplica.start(name, logs, all, http);
    }

    private static void route(Map<String, String> settings, int index, String id, String path, String origin) {
        String prefix = "corral.routes[" + index + "].";
        settings.putAll(Map.of(prefix + "id", id, prefix + "path", path, prefix + "origin", origin,
                // The test decides when the origin responds.
                prefix + "timeout", "25s"));
    }

    private static void collectGarbage(JarReplica replica) {
        String jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd").toString();
        try {
            new ProcessBuilder(jcmd, Long.toString(replica.process().pid()), "GC.run")
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start()
                    .waitFor();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }
}
