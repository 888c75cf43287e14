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
    private static final String HIT = "/products/hit";

    private final Plan plan;
    private final RedisServer redis;
    private final ShopProcess shop;
    private final Scoreboard board;

    private Stampede(Plan plan, RedisServer redis, ShopProcess shop, Scoreboard board) {
        this.plan = plan;
        this.redis = redis;
        this.shop = shop;
        this.board = board;
    }

    /** Runs the stampede that the system properties {@code stampede.*} describe. */
    public static void main(String[] args) throws IOException {
        Plan plan = Plan.ofSystemProperties();
        List<String> replica = Replica.jar(plan.jar(), plan.jvmFlags().toArray(String[]::new));
        System.exit(run(plan, replica, new Scoreboard(System.out)) ? 0 : 1);
    }

    /** True when every answer was right. The command starts a replica; settings are added to it. */
    static boolean run(Plan plan, List<String> replica, Scoreboard board) throws IOException {
        Outcome.clear(plan.report().resolveSibling(Outcome.FILE));
        try (RedisServer redis = RedisServer.start(); ShopProcess shop = ShopProcess.open(plan.latency())) {
            List<Scenario> scenarios = new Stampede(plan, redis, shop, board).measure(replica);
            List<String> faults = Verdict.faults(scenarios);
            Outcome.write(plan.report().resolveSibling(Outcome.FILE), faults);
            Report.write(plan, redis.kind(), scenarios, faults);
            board.close(plan.report(), faults);
            return faults.isEmpty();
        }
    }

    private List<Scenario> measure(List<String> replica) {
        board.open(plan, redis.kind());
        var scenarios = new ArrayList<Scenario>();
        scenarios.add(direct());
        try (Fleet fleet = fleet(replica, false)) {
            scenarios.add(cold(Verdict.OFF, "Corral, coalescing off", fleet));
        }
        try (Fleet fleet = fleet(replica, true)) {
            scenarios.add(cold(Verdict.ON, "Corral", fleet));
            scenarios.add(many(fleet));
            scenarios.addAll(hits(fleet));
            scenarios.addAll(uncacheable(fleet));
        }
        return scenarios;
    }

    private Scenario direct() {
        try (Crowd crowd = Crowd.gather(plan.clients(), List.of(shop.port()))) {
            board.say("warming up the clients and the shop; the replicas do so by themselves");
            warmUp(crowd, plan.warmUp());
            return rounds(Verdict.DIRECT, "No cache", "the clients straight at the origin", crowd, "/products/direct-");
        }
    }

    private Scenario cold(String id, String name, Fleet fleet) {
        try (Crowd crowd = Crowd.gather(plan.clients(), fleet.ports())) {
            return rounds(id, name, plan.replicas() + " replicas, a cold key", crowd, "/products/" + id + "-");
        }
    }

    private Scenario many(Fleet fleet) {
        var rounds = new ArrayList<Round>();
        try (Crowd crowd = Crowd.gather(plan.keys() * plan.clientsPerKey(), fleet.ports())) {
            board.say("many keys at once");
            for (int i = 1; i <= plan.rounds(); i++) {
                rounds.add(board.show(Verdict.MANY, i, round(crowd, keys("/products/many-" + i + "-"))));
            }
        }
        String what = plan.keys() + " cold keys at once, " + plan.clientsPerKey() + " clients each";
        return board.sum(new Scenario(Verdict.MANY, "Corral, many keys", what, rounds));
    }

    /** One client that asks for another key, a hit, again and again: alone, and while the crowd asks for a cold one. */
    private List<Scenario> hits(Fleet fleet) {
        var alone = new ArrayList<Round>();
        var beside = new ArrayList<Round>();
        try (Crowd crowd = Crowd.gather(plan.clients(), fleet.ports());
                Crowd client = Crowd.gather(1, fleet.ports().subList(0, 1))) {
            client.ask(HIT);
            for (int i = 1; i <= plan.rounds(); i++) {
                settle();
                alone.add(board.show(Verdict.HITS_ALONE, i, Round.of(until(client, SETTLING::toNanos), 0)));
                String cold = "/products/beside-" + i;
                Thread stampede = Thread.ofPlatform().start(() -> crowd.ask(cold));
                List<Reply> hits = until(client, () -> stampede.isAlive() ? Long.MAX_VALUE : 0);
                beside.add(board.show(Verdict.HITS_BESIDE, i, Round.of(hits, 0)));
            }
        }
        return List.of(
                board.sum(new Scenario(Verdict.HITS_ALONE, "Corral, hits alone", "one client of one key", alone)),
                board.sum(new Scenario(Verdict.HITS_BESIDE, "Corral, hits beside a stampede",
                        "the same while " + plan.clients() + " clients ask for a cold key", beside)));
    }

    private static List<Reply> until(Crowd client, LongSupplier limit) {
        long start = System.nanoTime();
        var replies = new ArrayList<Reply>();
        do {
            replies.addAll(client.ask(HIT));
        } while (System.nanoTime() - start < limit.getAsLong());
        return replies;
    }

    private List<String> keys(String prefix) {
        return IntStream.range(0, plan.keys()).mapToObj(key -> prefix + key).toList();
    }

    /** Each key twice: the fleet does not know yet that it must not wait for it; then it does. */
    private List<Scenario> uncacheable(Fleet fleet) {
        var first = new ArrayList<Round>();
        var again = new ArrayList<Round>();
        try (Crowd crowd = Crowd.gather(plan.privateClients(), fleet.ports())) {
            String shelf = "/slow/" + plan.privateLatency().toMillis() + "/private/";
            for (int i = 1; i <= plan.rounds(); i++) {
                first.add(board.show("private, 1st", i, round(crowd, shelf + i)));
                again.add(board.show("private, again", i, round(crowd, shelf + i)));
            }
        }
        String what = plan.privateClients() + " clients of one private key";
        return List.of(board.sum(new Scenario(Verdict.PRIVATE_FIRST, "Corral, first time", what, first)),
                board.sum(new Scenario(Verdict.PRIVATE_AGAIN, "Corral, again", what, again)));
    }

    private Scenario rounds(String id, String name, String what, Crowd crowd, String keys) {
        var rounds = new ArrayList<Round>();
        for (int i = 1; i <= plan.rounds(); i++) {
            rounds.add(board.show(id, i, round(crowd, keys + i)));
        }
        return board.sum(new Scenario(id, name, what, rounds));
    }

    private Round round(Crowd crowd, String target) {
        return round(crowd, List.of(target));
    }

    private Round round(Crowd crowd, List<String> targets) {
        settle();
        shop.reset();
        List<Reply> replies = crowd.ask(targets);
        settle();
        return Round.of(targets.size(), replies, shop.count());
    }

    /** Other keys, until the JVMs of the clients and of the shop have compiled what a round needs. */
    private static void warmUp(Crowd crowd, Duration time) {
        long end = System.nanoTime() + time.toNanos();
        for (int key = 0; System.nanoTime() < end; key++) {
            crowd.ask("/products/warm-up-" + key);
        }
    }

    private Fleet fleet(List<String> command, boolean coalescing) {
        var settings = new HashMap<>(redis.settings());
        settings.putAll(Map.of("corral.routes[0].id", "shop", "corral.routes[0].path", "/**",
                "corral.routes[0].origin", shop.url(), "corral.coalesce", Boolean.toString(coalescing)));
        // Without coalescing every client becomes a request of its own. The usual bounds would answer some with 503, or shut an
        // origin that is only slow because all this shares a machine: a comparison wants to see how slow.
        settings.put("corral.routes[0].concurrency", Integer.toString(plan.clients()));
        settings.put("corral.routes[0].timeout", "25s");
        // Its clients have left when it stops.
        settings.put("corral.shutdown.drain", "0s");
        board.say("starting " + plan.replicas() + " replicas, coalescing " + (coalescing ? "on" : "off"));
        return Fleet.start(plan.replicas(), command, settings);
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
