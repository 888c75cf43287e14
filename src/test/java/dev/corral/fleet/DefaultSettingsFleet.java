package dev.corral.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FaultProxy;
import java.net.http.HttpClient;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.assertj.core.api.SoftAssertions;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Three replicas with the default settings, except the address of Redis. The origin, in this JVM, is the demo shop with its usual 120 ms.
 * Everything ends with this JVM. Not thread-safe.
 */
final class DefaultSettingsFleet implements AutoCloseable {

    static final int SIZE = 3;

    private static final Duration START_TIMEOUT = Duration.ofMinutes(2);

    /**
     * Time from the recovery of Redis until a cold key costs one fetch again: 0.4 to 3 s, and 6 s while Sentinels still vote, measured on two
     * cores with five times as much load as they can process.
     */
    private static final Duration RECOVERY_TIMEOUT = Duration.ofSeconds(10);

    // A replica alone fetches a key once, so a batch that all replicas are asked for shows a single one that is.
    private static final int PROBE_KEYS = 15;
    private static final int CONFIRMING_KEYS = 60;

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(2))
            .build();
    private final DemoShop origin = DemoShop.start(DemoShop.LATENCY);
    private final List<JarReplica> replicas = new ArrayList<>();
    private final List<FaultProxy> proxies = new ArrayList<>();
    private final FleetClients clients = new FleetClients();
    private int batches;

    private DefaultSettingsFleet() {}

    /** Starts a fleet in which each replica reaches Redis through a proxy of its own; returns when all are ready. */
    static DefaultSettingsFleet behindProxies(String name, EmbeddedRedis redis) {
        var fleet = new DefaultSettingsFleet();
        for (int i = 1; i <= SIZE; i++) {
            fleet.proxies.add(FaultProxy.start(redis.port(), i));
        }
        return fleet.launch(name, List.of(), fleet.proxies.stream()
                .map(proxy -> Map.of("spring.data.redis.host", "127.0.0.1",
                        "spring.data.redis.port", Integer.toString(proxy.port())))
                .toList());
    }

    /** Starts a fleet whose replicas have these settings of {@code spring.data.redis} and these options of their JVMs. */
    static DefaultSettingsFleet over(String name, List<String> options, Map<String, String> redis) {
        return new DefaultSettingsFleet().launch(name, options, IntStream.range(0, SIZE).mapToObj(i -> redis).toList());
    }

    List<JarReplica> replicas() {
        return List.copyOf(replicas);
    }

    /** The proxies, by replica. */
    List<FaultProxy> proxies() {
        return List.copyOf(proxies);
    }

    /** That many names nobody has asked for. */
    static List<String> keys(String name, int count) {
        return IntStream.range(0, count).mapToObj(i -> "/products/" + name + "-" + i).toList();
    }

    /** That many clients ask for each of these at once, in turn at the replicas. */
    PendingResponses request(List<String> targets, int clientsPerKey) {
        return targets.stream()
                .map(target -> clients.request(replicas, clientsPerKey, target))
                .reduce(PendingResponses::plus)
                .orElseThrow();
    }

    /** How many keys the origin was asked for how often: {@code {1=50}} when all is well. */
    Map<Long, Long> keysByFetchCount(List<String> targets) {
        var keysByFetches = new TreeMap<Long, Long>();
        targets.forEach(target -> keysByFetches.merge(origin.count(target), 1L, Long::sum));
        return keysByFetches;
    }

    /** How many clients got which status. */
    static Map<Integer, Long> clientsByStatus(List<FleetResponse> replies) {
        var clientsByStatus = new TreeMap<Integer, Long>();
        replies.forEach(reply -> clientsByStatus.merge(reply.status(), 1L, Long::sum));
        return clientsByStatus;
    }

    /** Keys nobody has, asked for by that many clients each at once, cost one fetch each. */
    void assertOneFetchPerKey(String name, int keys, int clientsPerKey) {
        List<String> targets = keys(name, keys);
        List<FleetResponse> replies = request(targets, clientsPerKey).awaitAll();

        var softly = new SoftAssertions();
        softly.assertThat(clientsByStatus(replies)).as("replies by status").containsOnlyKeys(200);
        softly.assertThat(keysByFetchCount(targets)).as("keys by their fetches").isEqualTo(Map.of(1L, (long) keys));
        softly.assertAll();
    }

    /** Returns when the replicas have warmed up: a batch of cold keys costs one fetch each. */
    void awaitStart() {
        ProcessFleet.await("one fetch for a cold key", START_TIMEOUT, () -> costsOneFetchPerKey("start", PROBE_KEYS));
    }

    /** Returns when cold keys cost one fetch each again, and have gone on to. Redis is back at the time of the call. */
    void awaitOneFetchPerKey(String name) {
        Instant deadline = Instant.now().plus(RECOVERY_TIMEOUT);
        // What comes later than the first good batch, as a second client that follows the first, may still come.
        while (!costsOneFetchPerKey(name, PROBE_KEYS) || !costsOneFetchPerKey(name, CONFIRMING_KEYS)) {
            assertThat(Instant.now()).as("a replica fetches alone though Redis is back").isBefore(deadline);
        }
        assertThat(replicas).allMatch(replica -> replica.process().isAlive());
    }

    /** Cold keys, one after the other, each asked of all replicas at once, until it is stopped. */
    ColdKeyLoad startColdLoad(String name, Duration period) {
        return ColdKeyLoad.start(this, name, period);
    }

    /** Returns when every replica says that Redis serves. */
    void awaitRedis() {
        ProcessFleet.await("every replica is with Redis", START_TIMEOUT, () -> replicas.stream()
                .allMatch(replica -> replica.metric("corral_redis_up") == 1));
    }

    /** Lets a fault last that long: not a wait for something. */
    static void holdFault(Duration time) {
        try {
            Thread.sleep(time);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    @Override
    public void close() {
        replicas.forEach(JarReplica::close);
        proxies.forEach(FaultProxy::close);
        origin.close();
        http.close();
    }

    private boolean costsOneFetchPerKey(String name, int keys) {
        List<String> targets = keys(name + "-probe-" + batches++, keys);
        request(targets, SIZE).awaitAll();
        return keysByFetchCount(targets).keySet().equals(Set.of(1L));
    }

    private DefaultSettingsFleet launch(String name, List<String> options, List<Map<String, String>> redis) {
        Path logs = Path.of(System.getProperty("corral.jar", "target/corral.jar")).resolveSibling("fleet");
        try {
            for (int i = 0; i < SIZE; i++) {
                var settings = new HashMap<>(redis.get(i));
                settings.putAll(Map.of("corral.routes[0].id", "shop", "corral.routes[0].path", "/**",
                        "corral.routes[0].origin", origin.url(),
                        // For the origin alone, which shares this machine with its clients and with all else.
                        "corral.routes[0].timeout", "25s",
                        "corral.management.users[0].name", JarReplica.OPERATOR,
                        "corral.management.users[0].password", JarReplica.PASSWORD,
                        "corral.management.users[0].role", "operator"));
                replicas.add(JarReplica.start(name + "-" + (i + 1), logs, options, settings, http));
            }
            replicas.forEach(
                    replica -> ProcessFleet.await(replica.name() + " is ready", START_TIMEOUT, replica::isReady));
            return this;
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }
}
