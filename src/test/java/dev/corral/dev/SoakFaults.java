package dev.corral.dev;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/** What happens to Redis, to the way to it and to replicas during a soak, one after the other, in an order by the seed. */
final class SoakFaults {

    /** After its end a fault is known to be over within seconds; then what was fetched alone meanwhile grows stale. */
    private static final Duration RECOVERY = Duration.ofSeconds(10);

    /** A replica that was cut off reads the purges as soon as it is back: within this. */
    private static final Duration HEARD = Duration.ofSeconds(5);

    private static final Duration SHORT = Duration.ofSeconds(2);
    private static final Duration LONG = Duration.ofSeconds(6);

    private record Fault(String name, Runnable begin, Duration lasts, Runnable end) {}

    private final EmbeddedRedis redis;
    private final List<FaultProxy> proxies;
    private final List<Replica> replicas;
    private final SoakRules rules;
    private final Random random;
    private final List<Fault> next = new ArrayList<>();

    SoakFaults(EmbeddedRedis redis, List<FaultProxy> proxies, List<Replica> replicas, SoakRules rules, long seed) {
        this.redis = redis;
        this.proxies = proxies;
        this.replicas = replicas;
        this.rules = rules;
        this.random = new Random(seed);
    }

    /** Makes the next fault, waits until it is over, and gives its name. */
    String happen() throws InterruptedException {
        if (next.isEmpty()) {
            next.addAll(all());
            Collections.shuffle(next, random);
        }
        Fault fault = next.removeLast();
        rules.troubled(Long.MAX_VALUE);
        fault.begin.run();
        try {
            Thread.sleep(fault.lasts);
        } finally {
            fault.end.run();
            rules.overAt(System.nanoTime() + RECOVERY.plus(SoakOrigin.FRESH).toNanos());
        }
        rules.count("faults");
        return fault.name;
    }

    private List<Fault> all() {
        int one = random.nextInt(replicas.size());
        FaultProxy proxy = proxies.get(one);
        Replica replica = replicas.get(one);
        return List.of(new Fault("Redis killed, back empty", redis::stop, SHORT, redis::restart),
                new Fault("Redis hangs", redis::pause, SHORT, redis::resume),
                new Fault("Redis emptied", () -> redis.ask("FLUSHALL"), Duration.ZERO, () -> {}),
                new Fault("all connections to Redis cut", () -> proxies.forEach(each -> each.cut(true)), Duration.ZERO,
                        () -> {}),
                new Fault("Redis is read-only", () -> redis.ask("CONFIG SET min-replicas-to-write 1"), SHORT,
                        () -> redis.ask("CONFIG SET min-replicas-to-write 0")),
                new Fault("1 % of the replies to one replica 200 ms late",
                        () -> proxy.lateReplies(0.01, Duration.ofMillis(200)), LONG, proxy::heal),
                new Fault("one replica cut off from Redis", () -> {
                    rules.isolated(one, Long.MAX_VALUE);
                    proxy.blackHole();
                }, LONG, () -> {
                    proxy.heal();
                    rules.rejoinedAt(one, System.nanoTime() + HEARD.toNanos());
                }),
                new Fault("one replica stopped", replica.process()::pause, SHORT, replica.process()::resume));
    }
}
