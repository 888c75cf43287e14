package dev.corral.fleet;

import dev.corral.dev.Answer;
import dev.corral.dev.Asked;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.RedisServer;
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
final class Fleet implements AutoCloseable {

    /** A second longer than the default: the machine may have so much else to do that a renewal is late by as much. */
    static final Duration LEASE = Duration.ofSeconds(3);

    /** More waiters of one key than this are turned away by a replica. */
    static final int WAITERS_PER_KEY = 120;

    /** More waiters of all keys than this are turned away by a replica. */
    static final int WAITERS_PER_REPLICA = 300;

    /** More requests at the origin than this are turned away by a replica, for paths under {@code /narrow}. */
    static final int NARROW = 2;

    /** Twenty times the default, for the same reason: a command that is late is a Redis that is away, and costs a fetch. */
    static final Duration REDIS_TIMEOUT = Duration.ofSeconds(2);

    private enum Redis {
        SERVING, PAUSED, STOPPED
    }

    private static final int SIZE = 3;
    private static final Duration START = Duration.ofSeconds(90);
    private static final Duration RECOVERY = Duration.ofSeconds(20);

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(2))
            .build();
    private final EmbeddedRedis redis = RedisServer.embedded();
    private final DemoShop origin = DemoShop.start(Duration.ZERO);
    private final int darkPort = FreePort.pick();
    private final Path logs = Path.of(System.getProperty("corral.jar", "target/corral.jar")).resolveSibling("fleet");
    private final List<Replica> replicas = new ArrayList<>();
    private final List<Replica> guests = new ArrayList<>();
    private final List<Held> held = new ArrayList<>();
    private final List<Pattern> declared = new ArrayList<>();

    private Redis redisIs = Redis.SERVING;

    private Fleet() {}

    /** Starts everything and returns when all replicas have served. */
    static Fleet start() {
        var fleet = new Fleet();
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

    List<Replica> all() {
        return List.copyOf(replicas);
    }

    /** The first, the second or the third: 0, 1, 2. */
    Replica replica(int index) {
        return replicas.get(index);
    }

    /** The two others. */
    List<Replica> allBut(Replica one) {
        return replicas.stream().filter(replica -> replica != one).toList();
    }

    EmbeddedRedis redis() {
        return redis;
    }

    /** Holds back what the origin answers for a path. Opened after the test, so that nothing of it stays in the air. */
    Held hold(String path, Function<Asked, Answer> answers) {
        Held one = Held.at(origin, path, answers);
        held.add(one);
        return one;
    }

    /** Ends Redis, with all it knows. */
    void stopRedis() {
        redisIs = Redis.STOPPED;
        redis.stop();
    }

    /** Stops Redis where it stands: it takes commands and answers none. */
    void pauseRedis() {
        redisIs = Redis.PAUSED;
        redis.pause();
    }

    /** Brings Redis back: what was paused goes on, what was ended starts empty. */
    void restoreRedis() {
        switch (redisIs) {
            case SERVING -> {
                // Nothing has happened to it.
            }
            case PAUSED -> redis.resume();
            case STOPPED -> redis.restart();
        }
        redisIs = Redis.SERVING;
    }

    /** Where the requests for paths under {@code /dark} go: nobody listens there. */
    int darkPort() {
        return darkPort;
    }

    /** One more replica, with these settings besides, that serves with Redis. It is killed after the test. */
    Replica guest(String name, Map<String, String> settings) {
        Replica guest = lonelyGuest(name, settings);
        warmUp(List.of(guest));
        return guest;
    }

    /** Likewise, but it is ready and no more: Redis may be away. */
    Replica lonelyGuest(String name, Map<String, String> settings) {
        Replica guest = launch(name, settings);
        guests.add(guest);
        awaitReady(guest);
        return guest;
    }

    /** Starts a guest that has ended once more, on the same ports. It is ready, and killed after the test. */
    Replica restart(Replica ended) {
        Replica again = ended.again();
        guests.add(again);
        awaitReady(again);
        return again;
    }

    /** A fault in a replica's log that has this pattern is none of the test that runs. */
    void declare(String pattern) {
        declared.add(Pattern.compile(pattern));
    }

    /** Returns when every replica is with Redis, and nothing is in the air. */
    void awaitWhole() {
        awaitWhole(replicas);
    }

    private static void awaitWhole(List<Replica> replicas) {
        await("all replicas are with Redis, and nothing is in the air", RECOVERY, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 1
                        && replica.metric("corral_flights") == 0
                        && replica.metric("corral_waiters") == 0));
    }

    /** Returns when every replica knows that Redis does not answer. */
    void awaitDegraded() {
        await("every replica is on its own", RECOVERY, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 0));
    }

    /** Returns when exactly that many requests wait for a flight, in the whole fleet. */
    void awaitWaiting(int requests) {
        awaitSum(requests + " wait", requests, replica -> replica.metric("corral_waiters"));
    }

    /** Returns when that many replicas have asked Redis to be rung, each key counted by itself. */
    void awaitFollowers(int registrations) {
        await(registrations + " followers", Held.PATIENCE, () -> followers() == registrations);
    }

    private int followers() {
        return redis.ask("KEYS corral:*:wait")
                .lines()
                .filter(key -> !key.isEmpty())
                .mapToInt(key -> Integer.parseInt(redis.ask("SCARD " + key)))
                .sum();
    }

    /** The keys whose right to fill is given to somebody. */
    List<String> leases() {
        return redis.ask("KEYS corral:*:lock").lines().filter(key -> !key.isEmpty()).toList();
    }

    /** A metric of all replicas together. */
    double sum(String metric) {
        return living().mapToDouble(replica -> replica.metric(metric)).sum();
    }

    /** Ends the test: its guests go, its declarations end; gives the faults that were not declared. */
    List<String> endTest() {
        held.forEach(Held::open);
        held.clear();
        List<String> faults = newFaults();
        guests.forEach(Replica::close);
        guests.clear();
        declared.clear();
        return faults;
    }

    /** Gives the buffers that were lost up to now: Netty learns of a loss from the collector, and says so when it needs one. */
    List<String> leaks() {
        for (Replica replica : replicas) {
            collect(replica);
        }
        warmUp(replicas);
        return newFaults();
    }

    @Override
    public void close() {
        Stream.concat(guests.stream(), replicas.stream()).forEach(Replica::close);
        redis.close();
        origin.close();
        http.close();
    }

    static void await(String what, Duration bound, java.util.concurrent.Callable<Boolean> so) {
        Awaitility.await(what).atMost(bound).pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(20)).until(so);
    }

    private void awaitSum(String what, int expected, ToDoubleFunction<Replica> part) {
        await(what, Held.PATIENCE, () -> living().mapToDouble(part).sum() == expected);
    }

    private Stream<Replica> living() {
        return Stream.concat(replicas.stream(), guests.stream()).filter(replica -> replica.process().alive());
    }

    private List<String> newFaults() {
        return Stream.concat(replicas.stream(), guests.stream())
                .flatMap(replica -> replica.log().newFaults(declared).stream())
                .toList();
    }

    private void awaitReady(Replica replica) {
        await(replica.name() + " is ready", START, replica::ready);
    }

    /** The first requests of a JVM load half of its classes: no bound is meant for them. */
    private static void warmUp(List<Replica> replicas) {
        var clients = new Clients();
        awaitWhole(replicas);
        for (int i = 0; i < 10; i++) {
            clients.ask(replicas, replicas.size(), "/private/warm-up/" + i).all();
            clients.ask(replicas, replicas.size(), "/products/warm-up-" + i).all();
        }
        awaitWhole(replicas);
    }

    private Replica launch(String name, Map<String, String> settings) {
        var all = new HashMap<>(redis.settings());
        all.put("spring.data.redis.timeout", REDIS_TIMEOUT.toMillis() + "ms");
        all.put("corral.lease.ttl", LEASE.toMillis() + "ms");
        all.put("corral.waiters.per-key", Integer.toString(WAITERS_PER_KEY));
        all.put("corral.waiters.per-replica", Integer.toString(WAITERS_PER_REPLICA));
        // The tests count, they do not race; and what a guest's warm-up has in Redis is none of theirs.
        all.put("corral.warm-up.enabled", "false");
        all.put("corral.management.users[0].name", Replica.OPERATOR);
        all.put("corral.management.users[0].password", Replica.PASSWORD);
        all.put("corral.management.users[0].role", "operator");
        route(all, 0, "narrow", "/narrow/**", origin.url());
        all.put("corral.routes[0].concurrency", Integer.toString(NARROW));
        route(all, 1, "dark", "/dark/**", "http://127.0.0.1:" + darkPort);
        route(all, 2, "shop", "/**", origin.url());
        all.putAll(settings);
        return Replica.start(name, logs, all, http);
    }

    private static void route(Map<String, String> settings, int index, String id, String path, String origin) {
        String prefix = "corral.routes[" + index + "].";
        settings.putAll(Map.of(prefix + "id", id, prefix + "path", path, prefix + "origin", origin,
                // The origin of the tests answers when it is told to.
                prefix + "timeout", "25s"));
    }

    private static void collect(Replica replica) {
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
