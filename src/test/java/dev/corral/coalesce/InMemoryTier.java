package dev.corral.coalesce;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.stream.Stream;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;

/**
 * One replica's view of a shared tier that lives in memory: what the contract says, exactly, and faults on demand. Leases and
 * lives lapse by the scheduler's clock, so that virtual time drives it; each step is done at its subscription, in one piece.
 * Thread-safe, and deterministic when used by one thread.
 */
public final class InMemoryTier<K, V> implements SharedTier<K, V> {

    /** What becomes of one step. */
    public enum Fate {
        /** It is done and answered. */
        DONE,
        /** It is not done; the tier is unavailable. */
        REFUSED,
        /** It is done, but nobody learns so: the tier looks unavailable. */
        UNANSWERED,
        /** It is done twice, as by a client that sends again; the second answer counts. */
        REPEATED
    }

    /** One step of one replica, for {@link Store#fate}. */
    public record Step<K>(String replica, String name, K key) {}

    private record Entry<V>(Seen<V> seen, long until) {}

    private record Held(String holder, long until) {}

    private record Failure<V>(V value, long at, long until) {}

    /** What all replicas share. */
    public static final class Store<K, V> {

        private final Scheduler scheduler;
        private final Map<K, Entry<V>> entries = new HashMap<>(); // all guarded by this
        private final Map<K, Held> leases = new HashMap<>();
        private final Map<K, Set<String>> waiting = new HashMap<>();
        private final Map<K, Failure<V>> failures = new HashMap<>();
        private final Map<K, List<Ear>> ears = new HashMap<>();
        private long position;
        private long steps;
        private boolean full;
        private Function<Step<K>, Fate> fate = step -> Fate.DONE;
        private Function<Ring, Optional<Duration>> delay = ring -> Optional.of(Duration.ZERO);

        /** Empty, and without faults. */
        public Store(Scheduler scheduler) {
            this.scheduler = scheduler;
        }

        /** The view of a replica. */
        public InMemoryTier<K, V> replica(String name) {
            return new InMemoryTier<>(this, name);
        }

        /** Asks this for the fate of each step from now on. */
        public synchronized void fate(Function<Step<K>, Fate> fate) {
            this.fate = fate;
        }

        /** Refuses every step, or none. */
        public void available(boolean available) {
            fate(step -> available ? Fate.DONE : Fate.REFUSED);
        }

        /** Asks this how long each ring takes to reach its replica; empty: it is lost. */
        public synchronized void rings(Function<Ring, Optional<Duration>> delay) {
            this.delay = delay;
        }

        /** Whether there is no room for anything more. */
        public synchronized void full(boolean full) {
            this.full = full;
        }

        /** The purge position leaders will read. */
        public synchronized void position(long position) {
            this.position = position;
        }

        /** Forgets every value, lease and wait, as a Redis without persistence that restarts. */
        public synchronized void lose() {
            entries.clear();
            leases.clear();
            waiting.clear();
            failures.clear();
        }

        /** Ends the lease of the key at once, as if its time were over. */
        public synchronized void lapse(K key) {
            leases.remove(key);
        }

        /** Leases, waits and failures of these keys. */
        public synchronized long leftovers(Predicate<K> which) {
            long now = now();
            leases.values().removeIf(held -> held.until() <= now);
            failures.values().removeIf(failure -> failure.until() <= now);
            return Stream.of(leases, waiting, failures).flatMap(all -> all.keySet().stream()).filter(which).count();
        }

        private long now() {
            return scheduler.now(TimeUnit.NANOSECONDS);
        }

        private synchronized void ring(String replica, K key, Ring ring) {
            ears.getOrDefault(key, List.of())
                    .stream()
                    .filter(ear -> ear.replica.equals(replica))
                    .forEach(ear -> ear.rung.tryEmitValue(ring));
        }
    }

    private static final class Ear {

        private final String replica;
        private final Sinks.One<Ring> rung = Sinks.one();

        Ear(String replica) {
            this.replica = replica;
        }
    }

    private static final Duration FAILURE_LIFE = Duration.ofSeconds(3);

    private final Store<K, V> store;
    private final String replica;
    private final AtomicLong flights = new AtomicLong();

    private InMemoryTier(Store<K, V> store, String replica) {
        this.store = store;
        this.replica = replica;
    }

    @Override
    public Mono<Seen<V>> find(K key) {
        return step("find", key, () -> seen(key)).flatMap(Mono::justOrEmpty);
    }

    @Override
    public Mono<Attempt<K>> tryLead(K key, Duration ttl) {
        return Mono.defer(() -> tryLead(new Lease<>(key, replica + ":" + flights.incrementAndGet()), ttl));
    }

    private Mono<Attempt<K>> tryLead(Lease<K> lease, Duration ttl) {
        return step("tryLead", lease.key(), () -> {
            if (store.full) {
                throw unavailable("no room for a lease");
            }
            if (held(lease.key()).isPresent() && !holds(lease)) {
                return new Attempt.Lost<>(store.steps);
            }
            store.leases.put(lease.key(), new Held(lease.holder(), store.now() + ttl.toNanos()));
            return new Attempt.Led<>(lease);
        });
    }

    @Override
    public Mono<Ground<V>> stand(Lease<K> lease) {
        return step("stand", lease.key(), () -> {
            Optional<Seen<V>> seen = seen(lease.key());
            return new Ground<>(seen, seen.map(Seen::version), store.position, holds(lease));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<K> lease, Duration ttl) {
        return step("renew", lease.key(), () -> {
            boolean holds = holds(lease);
            if (holds) {
                store.leases.put(lease.key(), new Held(lease.holder(), store.now() + ttl.toNanos()));
            }
            return holds;
        });
    }

    @Override
    public Mono<Published> publish(Lease<K> lease, Optional<String> stoodOn, List<Write<K, V>> writes) {
        return step("publish", lease.key(), () -> {
            if (!holds(lease)) {
                boolean repeated = !writes.isEmpty() && seen(writes.getFirst().key())
                        .filter(seen -> seen.version().equals(lease.holder()))
                        .isPresent();
                return repeated ? Published.STORED : Published.FENCED;
            }
            Optional<String> there = seen(lease.key()).map(Seen::version);
            if (there.isPresent() && !there.equals(stoodOn)) {
                giveBack(lease, Ring.LANDED);
                return Published.FENCED;
            }
            if (store.full && !writes.isEmpty()) {
                giveBack(lease, Ring.DISMISSED);
                return Published.FULL;
            }
            writes.forEach(write -> store.entries.put(write.key(), new Entry<>(
                    new Seen<>(write.value(), lease.holder()), store.now() + write.life().toNanos())));
            store.failures.remove(lease.key());
            giveBack(lease, Ring.LANDED);
            return Published.STORED;
        });
    }

    @Override
    public Mono<Void> release(Lease<K> lease, Ring ring) {
        return step("release", lease.key(), () -> {
            if (holds(lease)) {
                giveBack(lease, ring);
            }
            return lease;
        }).then();
    }

    @Override
    public Mono<Void> fail(Lease<K> lease, V failure) {
        return step("fail", lease.key(), () -> {
            if (holds(lease)) {
                if (!store.full) {
                    long until = store.now() + FAILURE_LIFE.toNanos();
                    store.failures.put(lease.key(), new Failure<>(failure, store.steps, until));
                }
                giveBack(lease, Ring.LANDED);
            }
            return lease;
        }).then();
    }

    @Override
    public Mono<Sight<V>> follow(K key, Optional<String> version, long since) {
        return step("follow", key, () -> {
            Optional<Seen<V>> seen = seen(key);
            if (seen.isPresent() && !seen.map(Seen::version).equals(version)) {
                return new Sight.Changed<>(seen.get());
            }
            Optional<Failure<V>> failure = Optional.ofNullable(store.failures.get(key))
                    .filter(one -> one.at() >= since && one.until() > store.now());
            if (failure.isPresent()) {
                return new Sight.Failed<>(failure.get().value());
            }
            Optional<Held> held = held(key);
            if (held.isEmpty()) {
                return new Sight.Free<>();
            }
            if (!store.full) {
                store.waiting.computeIfAbsent(key, any -> new HashSet<>()).add(replica);
            }
            return new Sight.Waiting<>(Duration.ofNanos(held.get().until() - store.now()));
        });
    }

    @Override
    public Latch listen(K key) {
        var ear = new Ear(replica);
        synchronized (store) {
            store.ears.computeIfAbsent(key, any -> new ArrayList<>()).add(ear);
        }
        return new Latch() {
            @Override
            public Mono<Ring> rung() {
                return ear.rung.asMono();
            }

            @Override
            public void close() {
                synchronized (store) {
                    store.ears.computeIfPresent(key, (any, all) -> {
                        all.remove(ear);
                        return all.isEmpty() ? null : all;
                    });
                }
            }
        };
    }

    private <T> Mono<T> step(String name, K key, Supplier<T> action) {
        return Mono.defer(() -> {
            synchronized (store) {
                return switch (store.fate.apply(new Step<>(replica, name, key))) {
                    case DONE -> Mono.just(act(action));
                    case REFUSED -> Mono.error(unavailable("refused"));
                    case UNANSWERED -> {
                        act(action);
                        yield Mono.error(unavailable("done, but unanswered"));
                    }
                    case REPEATED -> {
                        act(action);
                        yield Mono.just(act(action));
                    }
                };
            }
        });
    }

    /** Each step has a number of its own: it is the tier's time, finer than the clock. */
    private <T> T act(Supplier<T> action) {
        store.steps++;
        return action.get();
    }

    private Optional<Seen<V>> seen(K key) {
        return Optional.ofNullable(store.entries.get(key))
                .filter(entry -> entry.until() > store.now())
                .map(Entry::seen);
    }

    private Optional<Held> held(K key) {
        return Optional.ofNullable(store.leases.get(key)).filter(held -> held.until() > store.now());
    }

    private boolean holds(Lease<K> lease) {
        return held(lease.key()).filter(held -> held.holder().equals(lease.holder())).isPresent();
    }

    private void giveBack(Lease<K> lease, Ring ring) {
        K key = lease.key();
        store.leases.remove(key);
        Set<String> waiting = Optional.ofNullable(store.waiting.remove(key)).orElse(Set.of());
        waiting.stream()
                .sorted()
                .forEach(one -> store.delay.apply(ring)
                        .ifPresent(delay -> store.scheduler
                                .schedule(() -> store.ring(one, key, ring), delay.toNanos(), TimeUnit.NANOSECONDS)));
    }

    private static TierUnavailable unavailable(String why) {
        return new TierUnavailable("the tier in memory: " + why, new TimeoutException(why));
    }
}
