package dev.corral.dev;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;

/**
 * Shows what Corral is for: a crowd asks for one cold key at the same moment, without coalescing and with it, and the origin's
 * requests are counted. Everything is real: a Redis, replicas and an origin as processes of their own, HTTP between them. Exits
 * with 1 when, with coalescing, any key cost more than one origin request or any answer was wrong.
 */
public final class Stampede {

    // What is still under way when the last answer is in (a write, a late fetch) belongs to the round.
    private static final Duration SETTLING = Duration.ofMillis(250);
    private static final String HIT_PATH = "/products/hit";

    private final StampedePlan plan;
    private final RedisServer redis;
    private final DemoShopProcess shop;
    private final StampedeConsole console;

    private Stampede(StampedePlan plan, RedisServer redis, DemoShopProcess shop, StampedeConsole board) {
        this.plan = plan;
        this.redis = redis;
        this.shop = shop;
        this.console = board;
    }

    /** Runs the stampede that the system properties {@code stampede.*} describe. */
    public static void main(String[] args) throws IOException {
        StampedePlan plan = StampedePlan.ofSystemProperties();
        List<String> replica = ReplicaProcess.jar(plan.jar(), plan.jvmFlags().toArray(String[]::new));
        System.exit(run(plan, replica, new StampedeConsole(System.out)) ? 0 : 1);
    }

    /** True when every answer was right. The command starts a replica; settings are added to it. */
    static boolean run(StampedePlan plan, List<String> replica, StampedeConsole board) throws IOException {
        FaultFile.clear(plan.report().resolveSibling(FaultFile.FILE_NAME));
        try (RedisServer redis = RedisServer.start(); DemoShopProcess shop = DemoShopProcess.open(plan.latency())) {
            List<StampedeScenario> scenarios = new Stampede(plan, redis, shop, board).measure(replica);
            List<String> faults = StampedeVerdict.faults(scenarios);
            FaultFile.write(plan.report().resolveSibling(FaultFile.FILE_NAME), faults);
            StampedeReport.write(plan, redis.kind(), scenarios, faults);
            board.close(plan.report(), faults);
            return faults.isEmpty();
        }
    }

    private List<StampedeScenario> measure(List<String> replica) {
        console.open(plan, redis.kind());
        var scenarios = new ArrayList<StampedeScenario>();
        scenarios.add(direct());
        try (StampedeFleet fleet = fleet(replica, false)) {
            scenarios.add(cold(StampedeVerdict.OFF, "Corral, coalescing off", fleet));
        }
        try (StampedeFleet fleet = fleet(replica, true)) {
            scenarios.add(cold(StampedeVerdict.ON, "Corral", fleet));
            scenarios.add(many(fleet));
            scenarios.addAll(hits(fleet));
            scenarios.addAll(uncacheable(fleet));
        }
        return scenarios;
    }

    private StampedeScenario direct() {
        try (StampedeClients crowd = StampedeClients.connect(plan.clients(), List.of(shop.port()))) {
            console.printProgress("warming up the clients and the shop; the replicas do so by themselves");
            warmUp(crowd, plan.warmUp());
            return rounds(StampedeVerdict.DIRECT, "No cache", "the clients straight at the origin", crowd,
                    "/products/direct-");
        }
    }

    private StampedeScenario cold(String id, String name, StampedeFleet fleet) {
        try (StampedeClients crowd = StampedeClients.connect(plan.clients(), fleet.ports())) {
            return rounds(id, name, plan.replicas() + " replicas, a cold key", crowd, "/products/" + id + "-");
        }
    }

    private StampedeScenario many(StampedeFleet fleet) {
        var rounds = new ArrayList<StampedeRound>();
        try (StampedeClients crowd = StampedeClients.connect(plan.keys() * plan.clientsPerKey(), fleet.ports())) {
            console.printProgress("many keys at once");
            for (int i = 1; i <= plan.rounds(); i++) {
                rounds.add(
                        console.printRound(StampedeVerdict.MANY, i, round(crowd, keys("/products/many-" + i + "-"))));
            }
        }
        String what = plan.keys() + " cold keys at once, " + plan.clientsPerKey() + " clients each";
        return console.printMedian(new StampedeScenario(StampedeVerdict.MANY, "Corral, many keys", what, rounds));
    }

    /** One client that asks for another key, a hit, again and again: alone, and while the crowd asks for a cold one. */
    private List<StampedeScenario> hits(StampedeFleet fleet) {
        var alone = new ArrayList<StampedeRound>();
        var beside = new ArrayList<StampedeRound>();
        try (StampedeClients crowd = StampedeClients.connect(plan.clients(), fleet.ports());
                StampedeClients client = StampedeClients.connect(1, fleet.ports().subList(0, 1))) {
            client.requestAtOnce(HIT_PATH);
            for (int i = 1; i <= plan.rounds(); i++) {
                settle();
                alone.add(console.printRound(StampedeVerdict.HITS_ALONE, i,
                        StampedeRound.of(until(client, SETTLING::toNanos), 0)));
                String cold = "/products/beside-" + i;
                Thread stampede = Thread.ofPlatform().start(() -> crowd.requestAtOnce(cold));
                List<TimedResponse> hits = until(client, () -> stampede.isAlive() ? Long.MAX_VALUE : 0);
                beside.add(console.printRound(StampedeVerdict.HITS_BESIDE, i, StampedeRound.of(hits, 0)));
            }
        }
        return List.of(
                console.printMedian(new StampedeScenario(StampedeVerdict.HITS_ALONE, "Corral, hits alone",
                        "one client of one key", alone)),
                console.printMedian(new StampedeScenario(StampedeVerdict.HITS_BESIDE, "Corral, hits beside a stampede",
                        "the same while " + plan.clients() + " clients ask for a cold key", beside)));
    }

    private static List<TimedResponse> until(StampedeClients client, LongSupplier limit) {
        long start = System.nanoTime();
        var replies = new ArrayList<TimedResponse>();
        do {
            replies.addAll(client.requestAtOnce(HIT_PATH));
        } while (System.nanoTime() - start < limit.getAsLong());
        return replies;
    }

    private List<String> keys(String prefix) {
        return IntStream.range(0, plan.keys()).mapToObj(key -> prefix + key).toList();
    }

    /** Each key twice: the fleet does not know yet that it must not wait for it; then it does. */
    private List<StampedeScenario> uncacheable(StampedeFleet fleet) {
        var first = new ArrayList<StampedeRound>();
        var again = new ArrayList<StampedeRound>();
        try (StampedeClients crowd = StampedeClients.connect(plan.privateClients(), fleet.ports())) {
            String shelf = "/slow/" + plan.privateLatency().toMillis() + "/private/";
            for (int i = 1; i <= plan.rounds(); i++) {
                first.add(console.printRound("private, 1st", i, round(crowd, shelf + i)));
                again.add(console.printRound("private, again", i, round(crowd, shelf + i)));
            }
        }
        String what = plan.privateClients() + " clients of one private key";
        return List.of(
                console.printMedian(
                        new StampedeScenario(StampedeVerdict.PRIVATE_FIRST, "Corral, first time", what, first)),
                console.printMedian(new StampedeScenario(StampedeVerdict.PRIVATE_AGAIN, "Corral, again", what, again)));
    }

    private StampedeScenario rounds(String id, String name, String what, StampedeClients crowd, String keys) {
        var rounds = new ArrayList<StampedeRound>();
        for (int i = 1; i <= plan.rounds(); i++) {
            rounds.add(console.printRound(id, i, round(crowd, keys + i)));
        }
        return console.printMedian(new StampedeScenario(id, name, what, rounds));
    }

    private StampedeRound round(StampedeClients crowd, String target) {
        return round(crowd, List.of(target));
    }

    private StampedeRound round(StampedeClients crowd, List<String> targets) {
        settle();
        shop.reset();
        List<TimedResponse> replies = crowd.requestAtOnce(targets);
        settle();
        return StampedeRound.of(targets.size(), replies, shop.count());
    }

    /** Other keys, until the JVMs of the clients and of the shop have compiled what a round needs. */
    private static void warmUp(StampedeClients crowd, Duration time) {
        long end = System.nanoTime() + time.toNanos();
        for (int key = 0; System.nanoTime() < end; key++) {
            crowd.requestAtOnce("/products/warm-up-" + key);
        }
    }

    private StampedeFleet fleet(List<String> command, boolean coalescing) {
        var settings = new HashMap<>(redis.settings());
        settings.putAll(Map.of("corral.routes[0].id", "shop", "corral.routes[0].path", "/**",
                "corral.routes[0].origin", shop.url(), "corral.coalesce", Boolean.toString(coalescing)));
        // Without coalescing every client becomes a request of its own. The usual bounds would answer some with 503, or shut an
        // origin that is only slow because all this shares a machine: a comparison wants to see how slow.
        settings.put("corral.routes[0].concurrency", Integer.toString(plan.clients()));
        settings.put("corral.routes[0].timeout", "25s");
        // Its clients have left when it stops.
        settings.put("corral.shutdown.drain", "0s");
        console.printProgress("starting " + plan.replicas() + " replicas, coalescing " + (coalescing ? "on" : "off"));
        return StampedeFleet.start(plan.replicas(), command, settings);
    }

    private static void settle() {
        try {
            Thread.sleep(SETTLING);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }
}
