package dev.corral.redis;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.coalesce.Coalescer;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisCluster;
import dev.corral.dev.RedisSentinels;
import dev.corral.dev.StubResponse;
import dev.corral.management.fleet.FleetMonitor;
import dev.corral.testkit.InProcessReplica;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

import static dev.corral.testkit.InProcessReplica.basicAuthorization;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Everything a fleet does in Redis, as the user whose rights the README gives: none is missing, and none is left over. */
@Timeout(180)
class RedisAclTest {

    private static final String OLGA = basicAuthorization("olga", "operator's");
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Redis gives these to whoever has not logged in yet. */
    private static final Set<String> UNAUTHENTICATED_COMMANDS = Set.of("auth", "hello");
    /** The test's own. */
    private static final Set<String> TEST_COMMANDS = Set.of("acl|setuser", "acl|log", "client|kill", "config|resetstat",
            "info", "script|flush");

    /** What Redisson tries at its start to see what Redis can do: a script on this key, and these. It takes no for an answer. */
    private static final Set<String> REDISSON_PROBES = Set.of("test1", "pubsub|numpat", "pubsub|shardnumsub");

    private static String readmeAclLine() throws Exception {
        List<String> lines = Files.readString(Path.of("README.md"))
                .lines()
                .map(String::strip)
                .filter(line -> line.startsWith("ACL SETUSER corral "))
                .toList();
        assertThat(lines).hasSize(1);
        return lines.getFirst();
    }

    @Test
    void readmeAclGrantsExactlyTheUsedCommands() throws Exception {
        String line = readmeAclLine();
        try (EmbeddedRedis redis = InProcessReplica.startRedis(); DemoShop shop = DemoShop.start(Duration.ZERO)) {
            // A log so old that a purge trims it.
            redis.execute("XADD corral:{purge}:log 1-0 h *", "XADD corral:{purge}:log 2-0 h *",
                    "SET corral:{purge}:seq 2");
            // The same rights under two names, so that one can be taken from its replica.
            redis.execute(line, line.replace("ACL SETUSER corral ", "ACL SETUSER other "), "ACL LOG RESET",
                    "CONFIG RESETSTAT");
            String password = password(line);
            try (InProcessReplica a = replica("a", "corral", password, redis.settings(), shop);
                    InProcessReplica b = replica("b", "other", password, redis.settings(), shop)) {
                eventually(
                        () -> liveReplicas(a).equals(List.of("a", "b")) && liveReplicas(b).equals(List.of("a", "b")));

                assertCoalescesAndFills(a, b, shop);
                assertSharesFailuresAndMarksUncacheable(a, b, shop);
                assertPurges(a, b, shop);
                redis.execute("SCRIPT FLUSH");
                assertPurges(b, a, shop);
                assertTakesOverFromLostLeader(a, b, shop, redis);
                deregister(b);
            }

            assertThat(deniedCommands(redis)).isEmpty();
            assertThat(usedCommands(redis)).isEqualTo(grantedCommands(line));
        }
    }

    /** What the README says is needed besides. */
    private static String aclLineWithExtras(String where) throws Exception {
        Matcher more = Pattern.compile(where + "\\s+also\\s+`([^`]+)`").matcher(Files.readString(Path.of("README.md")));
        assertThat(more.find()).isTrue();
        return readmeAclLine() + " " + more.group(1);
    }

    @Test
    void readmeAclSufficesForOtherPrefixAndDatabase() throws Exception {
        try (EmbeddedRedis redis = InProcessReplica.startRedis()) {
            Map<String, String> where = new HashMap<>(redis.settings());
            where.put("corral.redis.key-prefix", "staging");
            where.put("spring.data.redis.database", "1");
            assertFleetWorks(readmeAclLine().replace("corral:*", "staging:*") + " +select", where, List.of(redis));

            List<String> keys = redis.execute("SELECT 1", "KEYS *").lines().toList();
            assertThat(keys).isNotEmpty().allMatch(key -> key.startsWith("staging:1:"));
        }
    }

    @Test
    void readmeAclSufficesWithSentinel() throws Exception {
        try (RedisSentinels sentinels = RedisSentinels.start()) {
            assertFleetWorks(aclLineWithExtras("Sentinel"), sentinels.settings(),
                    List.of(sentinels.first(), sentinels.second()));
        }
    }

    @Test
    void readmeAclSufficesWithCluster() throws Exception {
        try (RedisCluster cluster = RedisCluster.start()) {
            assertFleetWorks(aclLineWithExtras("Cluster"), cluster.settings(), cluster.nodes());
        }
    }

    private static void assertFleetWorks(String line, Map<String, String> where, List<EmbeddedRedis> nodes)
            throws Exception {
        nodes.forEach(node -> node.execute(line, "ACL LOG RESET"));
        try (DemoShop shop = DemoShop.start(Duration.ZERO);
                InProcessReplica a = replica("a", "corral", password(line), where, shop);
                InProcessReplica b = replica("b", "corral", password(line), where, shop)) {
            eventually(() -> liveReplicas(a).equals(List.of("a", "b")) && liveReplicas(b).equals(List.of("a", "b")));

            assertCoalescesAndFills(a, b, shop);
            assertSharesFailuresAndMarksUncacheable(a, b, shop);
            assertPurges(a, b, shop);
        }
        assertThat(nodes).allSatisfy(node -> assertThat(deniedCommands(node)).isEmpty());
    }

    private static String password(String line) {
        return line.replaceAll(".* >(\\S+) .*", "$1");
    }

    private static InProcessReplica replica(String id, String user, String password, Map<String, String> redis,
            DemoShop shop) {
        Map<String, String> settings = new HashMap<>(redis);
        settings.put("spring.data.redis.username", user);
        settings.put("spring.data.redis.password", password);
        settings.put("spring.data.redis.client-name", "corral");
        settings.put("corral.replica-id", id);
        settings.put("corral.lease.ttl", "1s");
        settings.put("corral.purge.timeout", "10s");
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", shop.url());
        settings.put("corral.management.users[0].name", "olga");
        settings.put("corral.management.users[0].password", "operator's");
        settings.put("corral.management.users[0].role", "operator");
        return InProcessReplica.start(settings);
    }

    /** What was asked for without the right to it. A login is refused while its user is off. */
    private static List<String> deniedCommands(EmbeddedRedis redis) {
        var refused = new ArrayList<String>();
        String reason = "";
        List<String> log = redis.execute("ACL LOG").lines().toList();
        for (int i = 0; i + 1 < log.size(); i++) {
            if (log.get(i).equals("reason")) {
                reason = log.get(i + 1);
            }
            if (log.get(i).equals("object") && !reason.equals("auth") && !REDISSON_PROBES.contains(log.get(i + 1))) {
                refused.add(reason + " " + log.get(i + 1));
            }
        }
        return refused;
    }

    private static Set<String> grantedCommands(String line) {
        return new TreeSet<>(Pattern.compile(" \\+(\\S+)").matcher(line).results().map(it -> it.group(1)).toList());
    }

    private static Set<String> usedCommands(EmbeddedRedis redis) {
        var used = new TreeSet<>(Pattern.compile("(?m)^cmdstat_([^:]+):")
                .matcher(redis.execute("INFO commandstats"))
                .results()
                .map(it -> it.group(1))
                .toList());
        used.removeAll(UNAUTHENTICATED_COMMANDS);
        used.removeAll(TEST_COMMANDS);
        return used;
    }

    private static void assertCoalescesAndFills(InProcessReplica a, InProcessReplica b, DemoShop shop) {
        Sinks.One<StubResponse> held = Sinks.one();
        shop.script("/one", asked -> held.asMono());
        var first = a.requestAsync("/one");
        eventually(() -> shop.count("/one") == 1);
        var second = b.requestAsync("/one");
        eventually(() -> flight(b).path("role").asText().equals("follower"));
        // Longer than the lease, so that it is renewed.
        eventually(() -> flight(a).path("ageMillis").asLong() > 1_500);
        held.tryEmitValue(
                StubResponse.of(200, "one", "Cache-Control", "max-age=60", "Vary", "Accept", "Cache-Tag", "t"))
                .orThrow();

        assertThat(List.of(first.join().body(), second.join().body())).containsOnly("one");
        awaitNoFlights(a, b);
        assertThat(status(a, "/one")).startsWith("Corral; hit");
        assertThat(status(b, "/one")).startsWith("Corral; hit");
        assertThat(shop.count("/one")).isEqualTo(1);
    }

    private static void assertSharesFailuresAndMarksUncacheable(InProcessReplica a, InProcessReplica b, DemoShop shop) {
        Sinks.One<StubResponse> broken = Sinks.one();
        shop.script("/broken", asked -> broken.asMono());
        var first = a.requestAsync("/broken");
        eventually(() -> shop.count("/broken") == 1);
        var second = b.requestAsync("/broken");
        eventually(() -> flight(b).path("role").asText().equals("follower"));
        broken.tryEmitValue(StubResponse.of(500, "broken")).orThrow();
        assertThat(List.of(first.join().statusCode(), second.join().statusCode())).containsOnly(500);
        assertThat(shop.count("/broken")).isEqualTo(1);

        shop.respondWith("/mine", StubResponse.of(200, "mine", "Cache-Control", "private"));
        assertThat(a.request("GET", "/mine").body()).isEqualTo("mine");
        awaitNoFlights(a, b);
        assertThat(b.request("GET", "/mine").headers().firstValue("Cache-Status").orElse(""))
                .contains("detail=private");
    }

    private static void assertPurges(InProcessReplica by, InProcessReplica other, DemoShop shop) throws Exception {
        shop.respondWith("/tagged", StubResponse.of(200, "tagged", "Cache-Control", "max-age=60", "Cache-Tag", "t"));
        by.request("GET", "/tagged");
        awaitNoFlights(by, other);
        assertThat(status(other, "/tagged")).startsWith("Corral; hit");

        HttpResponse<String> purge = by.postJson("/actuator/purge", "{\"tags\":[\"t\"]}", "Authorization", OLGA);

        assertThat(purge.statusCode()).as(purge.body()).isEqualTo(200);
        // Told by a message: a look into the log takes longer to show.
        for (JsonNode replica : JSON.readTree(purge.body()).path("replicas")) {
            assertThat(replica.path("acknowledged").asBoolean()).isTrue();
        }
        assertThat(status(other, "/tagged")).startsWith("Corral; fwd=");
        awaitNoFlights(by, other);
    }

    /** The leader is lost, and the other one takes over. */
    private static void assertTakesOverFromLostLeader(InProcessReplica a, InProcessReplica b, DemoShop shop,
            EmbeddedRedis redis) {
        Sinks.One<StubResponse> never = Sinks.one();
        shop.script("/lost", asked -> asked.number() == 1
                ? never.asMono()
                : Mono.just(StubResponse.of(200, "second", "Cache-Control", "max-age=60")));
        var first = a.requestAsync("/lost");
        eventually(() -> shop.count("/lost") == 1);
        var second = b.requestAsync("/lost");
        eventually(() -> flight(b).path("role").asText().equals("follower"));
        redis.execute("ACL SETUSER corral off", "CLIENT KILL USER corral");

        assertThat(second.join().body()).isEqualTo("second");
        never.tryEmitValue(StubResponse.of(200, "first", "Cache-Control", "max-age=60")).orThrow();
        assertThat(first.join().body()).isEqualTo("first");
        awaitNoFlights(b);
        assertThat(b.request("GET", "/lost").body()).isEqualTo("second");
        redis.execute("ACL SETUSER corral on");
        eventually(() -> getJson(a, "/actuator/health").path("status").asText().equals("UP"));
    }

    private static void deregister(InProcessReplica b) throws Exception {
        var left = new CountDownLatch(1);
        b.context().getBean(FleetMonitor.class).stop(left::countDown);
        assertThat(left.await(15, TimeUnit.SECONDS)).isTrue();
    }

    // ---- small things

    private static void eventually(Callable<Boolean> so) {
        await().until(so);
    }

    private static void awaitNoFlights(InProcessReplica... replicas) {
        for (InProcessReplica replica : replicas) {
            eventually(() -> replica.context().getBean(Coalescer.class).flightCount() == 0);
        }
    }

    private static String status(InProcessReplica by, String path) {
        return by.request("GET", path).headers().firstValue("Cache-Status").orElse("");
    }

    private static JsonNode getJson(InProcessReplica by, String target) throws Exception {
        return JSON.readTree(by.requestManagement("GET", target, "Authorization", OLGA).body());
    }

    private static JsonNode flight(InProcessReplica by) throws Exception {
        return getJson(by, "/actuator/flights").at("/flights/0");
    }

    private static List<String> liveReplicas(InProcessReplica by) throws Exception {
        var live = new ArrayList<String>();
        for (JsonNode member : getJson(by, "/actuator/fleet").path("replicas")) {
            if (member.path("live").asBoolean()) {
                live.add(member.path("id").asText());
            }
        }
        return live;
    }
}
