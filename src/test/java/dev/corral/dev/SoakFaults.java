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
    private static final Duration PURGE_SYNC_TIMEOUT = Duration.ofSeconds(5);

    private static final Duration SHORT = Duration.ofSeconds(2);
    private static final Duration LONG = Duration.ofSeconds(6);

    private record SoakFault(String name, Runnable begin, Duration lasts, Runnable end) {}

    private final EmbeddedRedis redis;
    private final List<FaultProxy> proxies;
    private final List<ReplicaProcess> replicas;
    private final SoakRules rules;
    private final Random random;
    private final List<SoakFault> next = new ArrayList<>();

    SoakFaults(EmbeddedRedis redis, List<FaultProxy> proxies, List<ReplicaProcess> replicas, SoakRules rules,
            long seed) {
        this.redis = redis;
        this.proxies = proxies;
        this.replicas = replicas;
        this.rules = rules;
        this.random = new Random(seed);
    }

    /** Makes the next fault, waits until it is over, and gives its name. */
    String injectNext() throws InterruptedException {
        if (next.isEmpty()) {
            next.addAll(all());
            Collections.shuffle(next, random);
        }
        SoakFault fault = next.removeLast();
        rules.troubled(Long.MAX_VALUE);
        fault.begin.run();
        try {
            Thread.sleep(fault.lasts);
        } finally {
            fault.end.run();
            rules.troubleEndsAt(System.nanoTime() + RECOVERY.plus(SoakOrigin.FRESH).toNanos());
        }
        rules.count("faults");
        return fault.name;
    }

    private List<SoakFault> all() {
        int one = random.nextInt(replicas.size());
        FaultProxy proxy = proxies.get(one);
        ReplicaProcess replica = replicas.get(one);
        return List.of(new SoakFault("Redis killed, back empty", redis::stop, SHORT, redis::restart),
                new SoakFault("Redis hangs", redis::pause, SHORT, redis::resume),
                new SoakFault("Redis emptied", () -> redis.execute("FLUSHALL"), Duration.ZERO, () -> {}),
                new SoakFault("all connections to Redis cut", () -> proxies.forEach(each -> each.cut(true)),
                        Duration.ZERO,
                        () -> {}),
                new SoakFault("Redis is read-only", () -> redis.execute("CONFIG SET min-replicas-to-write 1"), SHORT,
                        () -> redis.execute("CONFIG SET min-replicas-to-write 0")),
                new SoakFault("1 % of the replies to one replica 200 ms late",
                        () -> proxy.lateReplies(0.01, Duration.ofMillis(200)), LONG, proxy::heal),
                new SoakFault("one replica cut off from Redis", () -> {
                    rules.isolated(one, Long.MAX_VALUE);
                    proxy.blackHole();
                }, LONG, () -> {
                    proxy.heal();
                    rules.rejoinedAt(one, System.nanoTime() + PURGE_SYNC_TIMEOUT.toNanos());
                }),
                new SoakFault("one replica stopped", replica.process()::pause, SHORT, replica.process()::resume));
    }
}
