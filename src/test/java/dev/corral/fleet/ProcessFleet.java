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
 * Three replicas over one real Redis, before one origin in this JVM. Tests may do anything to it from which it recovers by
 * itself; a replica that has to die is a guest. Everything ends with this JVM. Not thread-safe.
 */
final class ProcessFleet implements AutoCloseable {

    /** A second longer than the default: the machine may have so much else to do that a renewal is late by as much. */
    static final Duration LEASE = Duration.ofSeconds(3);

    /** More waiters of one key than this are turned away by a replica. */
    static final int MAX_WAITERS_PER_KEY = 120;

    /** More waiters of all keys than this are turned away by a replica. */
    static final int MAX_WAITERS_PER_REPLICA = 300;

    /** More requests at the origin than this are turned away by a replica, for paths under {@code /narrow}. */
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

    /** Starts everything and returns when all replicas have served. */
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

    /** The first, the second or the third: 0, 1, 2. */
    JarReplica replica(int index) {
        return replicas.get(index);
    }

    /** The two others. */
    List<JarReplica> replicasExcept(JarReplica one) {
        return replicas.stream().filter(replica -> replica != one).toList();
    }

    EmbeddedRedis redis() {
        return redis;
    }

    /** Holds back what the origin answers for a path. Opened after the test, so that nothing of it stays in the air. */
    HeldOriginPath holdPath(String path, Function<StubRequest, StubResponse> answers) {
        HeldOriginPath one = HeldOriginPath.holdAt(origin, path, answers);
        heldPaths.add(one);
        return one;
    }

    /** Ends Redis, with all it knows. */
    void stopRedis() {
        redisCondition = RedisCondition.STOPPED;
        redis.stop();
    }

    /** Stops Redis where it stands: it takes commands and answers none. */
    void pauseRedis() {
        redisCondition = RedisCondition.PAUSED;
        redis.pause();
    }

    /** Brings Redis back: what was paused goes on, what was ended starts empty. */
    void restoreRedis() {
        switch (redisCondition) {
            case SERVING -> {
                // Nothing has happened to it.
            }
            case PAUSED -> redis.resume();
            case STOPPED -> redis.restart();
        }
        redisCondition = RedisCondition.SERVING;
    }

    /** Where the requests for paths under {@code /dark} go: nobody listens there. */
    int unusedPort() {
        return unusedPort;
    }

    /** One more replica, with these settings besides, that serves with Redis. It is killed after the test. */
    JarReplica startReplica(String name, Map<String, String> settings) {
        JarReplica guest = startReplicaWithoutWarmUp(name, settings);
        warmUp(List.of(guest));
        return guest;
    }

    /** Likewise, but it is ready and no more: Redis may be away. */
    JarReplica startReplicaWithoutWarmUp(String name, Map<String, String> settings) {
        JarReplica guest = launch(name, settings);
        temporaryReplicas.add(guest);
        awaitReady(guest);
        return guest;
    }

    /** Starts a guest that has ended once more, on the same ports. It is ready, and killed after the test. */
    JarReplica restart(JarReplica ended) {
        JarReplica again = ended.restart();
        temporaryReplicas.add(again);
        awaitReady(again);
        return again;
    }

    /** A fault in a replica's log that has this pattern is none of the test that runs. */
    void expectFault(String pattern) {
        expectedFaults.add(Pattern.compile(pattern));
    }

    /** Returns when every replica is with Redis, and nothing is in the air. */
    void awaitIdleAndConnected() {
        awaitIdleAndConnected(replicas);
    }

    private static void awaitIdleAndConnected(List<JarReplica> replicas) {
        await("all replicas are with Redis, and nothing is in the air", RECOVERY_TIMEOUT, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 1
                        && replica.metric("corral_flights") == 0
                        && replica.metric("corral_waiters") == 0));
    }

    /** Returns when every replica knows that Redis does not answer. */
    void awaitDegraded() {
        await("every replica is on its own", RECOVERY_TIMEOUT, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 0));
    }

    /** Returns when exactly that many requests wait for a flight, in the whole fleet. */
    void awaitWaiting(int requests) {
        awaitSum(requests + " wait", requests, replica -> replica.metric("corral_waiters"));
    }

    /** Returns when that many replicas have asked Redis to be rung, each key counted by itself. */
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

    /** The keys whose right to fill is given to somebody. */
    List<String> leases() {
        return redis.execute("KEYS corral:*:lock").lines().filter(key -> !key.isEmpty()).toList();
    }

    /** A metric of all replicas together. */
    double sum(String metric) {
        return liveReplicas().mapToDouble(replica -> replica.metric(metric)).sum();
    }

    /** Ends the test: its guests go, its declarations end; gives the faults that were not declared. */
    List<String> endTest() {
        heldPaths.forEach(HeldOriginPath::releaseAll);
        heldPaths.clear();
        List<String> faults = newFaults();
        temporaryReplicas.forEach(JarReplica::close);
        temporaryReplicas.clear();
        expectedFaults.clear();
        return faults;
    }

    /** Gives the buffers that were lost up to now: Netty learns of a loss from the collector, and says so when it needs one. */
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

    /** The first requests of a JVM load half of its classes: no bound is meant for them. */
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
        // The tests count, they do not race; and what a guest's warm-up has in Redis is none of theirs.
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
                // The origin of the tests answers when it is told to.
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
