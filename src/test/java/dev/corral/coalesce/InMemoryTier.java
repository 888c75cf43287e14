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
    public enum StepOutcome {
        /** It is done and answered. */
        DONE,
        /** It is not done; the tier is unavailable. */
        REFUSED,
        /** It is done, but nobody learns so: the tier looks unavailable. */
        DONE_WITHOUT_REPLY,
        /** It is done twice, as by a client that sends again; the second answer counts. */
        REPEATED
    }

    /** One step of one replica, for {@link InMemoryStore#stepOutcome}. */
    public record TierStep<K>(String replica, String name, K key) {}

    private record InMemoryEntry<V>(Versioned<V> seen, long expiresAt) {}

    private record InMemoryLease(String holder, long expiresAt) {}

    private record InMemoryFailure<V>(V value, long failedAtStep, long expiresAt) {}

    /** What all replicas share. */
    public static final class InMemoryStore<K, V> {

        private final Scheduler scheduler;
        private final Map<K, InMemoryEntry<V>> entries = new HashMap<>(); // all guarded by this
        private final Map<K, InMemoryLease> leases = new HashMap<>();
        private final Map<K, Set<String>> waiting = new HashMap<>();
        private final Map<K, InMemoryFailure<V>> failures = new HashMap<>();
        private final Map<K, List<InMemorySubscription>> subscriptions = new HashMap<>();
        private long purgePosition;
        private long steps;
        private boolean full;
        private Function<TierStep<K>, StepOutcome> stepOutcome = step -> StepOutcome.DONE;
        private Function<FillNotification, Optional<Duration>> notificationDelay = ring -> Optional.of(Duration.ZERO);

        /** Empty, and without faults. */
        public InMemoryStore(Scheduler scheduler) {
            this.scheduler = scheduler;
        }

        /** The view of a replica. */
        public InMemoryTier<K, V> replica(String name) {
            return new InMemoryTier<>(this, name);
        }

        /** Asks this for the fate of each step from now on. */
        public synchronized void stepOutcome(Function<TierStep<K>, StepOutcome> fate) {
            this.stepOutcome = fate;
        }

        /** Refuses every step, or none. */
        public void available(boolean available) {
            stepOutcome(step -> available ? StepOutcome.DONE : StepOutcome.REFUSED);
        }

        /** Asks this how long each ring takes to reach its replica; empty: it is lost. */
        public synchronized void notificationDelays(Function<FillNotification, Optional<Duration>> delay) {
            this.notificationDelay = delay;
        }

        /** Whether there is no room for anything more. */
        public synchronized void full(boolean full) {
            this.full = full;
        }

        /** The purge position leaders will read. */
        public synchronized void purgePosition(long position) {
            this.purgePosition = position;
        }

        /** Forgets every value, lease and wait, as a Redis without persistence that restarts. */
        public synchronized void clear() {
            entries.clear();
            leases.clear();
            waiting.clear();
            failures.clear();
        }

        /** Ends the lease of the key at once, as if its time were over. */
        public synchronized void expireLease(K key) {
            leases.remove(key);
        }

        /** Leases, waits and failures of these keys. */
        public synchronized long leftovers(Predicate<K> which) {
            long now = now();
            leases.values().removeIf(held -> held.expiresAt() <= now);
            failures.values().removeIf(failure -> failure.expiresAt() <= now);
            return Stream.of(leases, waiting, failures).flatMap(all -> all.keySet().stream()).filter(which).count();
        }

        private long now() {
            return scheduler.now(TimeUnit.NANOSECONDS);
        }

        private synchronized void notifyReplica(String replica, K key, FillNotification ring) {
            subscriptions.getOrDefault(key, List.of())
                    .stream()
                    .filter(ear -> ear.replica.equals(replica))
                    .forEach(ear -> ear.notification.tryEmitValue(ring));
        }
    }

    private static final class InMemorySubscription {

        private final String replica;
        private final Sinks.One<FillNotification> notification = Sinks.one();

        InMemorySubscription(String replica) {
            this.replica = replica;
        }
    }

    private static final Duration FAILURE_TTL = Duration.ofSeconds(3);

    private final InMemoryStore<K, V> store;
    private final String replica;
    private final AtomicLong flightCounter = new AtomicLong();

    private InMemoryTier(InMemoryStore<K, V> store, String replica) {
        this.store = store;
        this.replica = replica;
    }

    @Override
    public Mono<Versioned<V>> find(K key) {
        return step("find", key, () -> current(key)).flatMap(Mono::justOrEmpty);
    }

    @Override
    public Mono<LeaseAttempt<K>> tryLead(K key, Duration ttl) {
        return Mono.defer(() -> tryLead(new Lease<>(key, replica + ":" + flightCounter.incrementAndGet()), ttl));
    }

    private Mono<LeaseAttempt<K>> tryLead(Lease<K> lease, Duration ttl) {
        return step("tryLead", lease.key(), () -> {
            if (store.full) {
                throw unavailable("no room for a lease");
            }
            if (currentLease(lease.key()).isPresent() && !holdsLease(lease)) {
                return new LeaseAttempt.HeldByOther<>(store.steps);
            }
            store.leases.put(lease.key(), new InMemoryLease(lease.holder(), store.now() + ttl.toNanos()));
            return new LeaseAttempt.Acquired<>(lease);
        });
    }

    @Override
    public Mono<LeaderSnapshot<V>> snapshot(Lease<K> lease) {
        return step("stand", lease.key(), () -> {
            Optional<Versioned<V>> seen = current(lease.key());
            return new LeaderSnapshot<>(seen, seen.map(Versioned::version), store.purgePosition, holdsLease(lease));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<K> lease, Duration ttl) {
        return step("renew", lease.key(), () -> {
            boolean holds = holdsLease(lease);
            if (holds) {
                store.leases.put(lease.key(), new InMemoryLease(lease.holder(), store.now() + ttl.toNanos()));
            }
            return holds;
        });
    }

    @Override
    public Mono<PublishResult> publish(Lease<K> lease, Optional<String> stoodOn, List<Write<K, V>> writes) {
        return step("publish", lease.key(), () -> {
            if (!holdsLease(lease)) {
                boolean repeated = !writes.isEmpty() && current(writes.getFirst().key())
                        .filter(seen -> seen.version().equals(lease.holder()))
                        .isPresent();
                return repeated ? PublishResult.STORED : PublishResult.FENCED;
            }
            Optional<String> there = current(lease.key()).map(Versioned::version);
            if (there.isPresent() && !there.equals(stoodOn)) {
                releaseLease(lease, FillNotification.STATE_CHANGED);
                return PublishResult.FENCED;
            }
            if (store.full && !writes.isEmpty()) {
                releaseLease(lease, FillNotification.NOT_SHAREABLE);
                return PublishResult.OUT_OF_MEMORY;
            }
            writes.forEach(write -> store.entries.put(write.key(), new InMemoryEntry<>(
                    new Versioned<>(write.value(), lease.holder()), store.now() + write.ttl().toNanos())));
            store.failures.remove(lease.key());
            releaseLease(lease, FillNotification.STATE_CHANGED);
            return PublishResult.STORED;
        });
    }

    @Override
    public Mono<Void> release(Lease<K> lease, FillNotification ring) {
        return step("release", lease.key(), () -> {
            if (holdsLease(lease)) {
                releaseLease(lease, ring);
            }
            return lease;
        }).then();
    }

    @Override
    public Mono<Void> publishFailure(Lease<K> lease, V failure) {
        return step("fail", lease.key(), () -> {
            if (holdsLease(lease)) {
                if (!store.full) {
                    long until = store.now() + FAILURE_TTL.toNanos();
                    store.failures.put(lease.key(), new InMemoryFailure<>(failure, store.steps, until));
                }
                releaseLease(lease, FillNotification.STATE_CHANGED);
            }
            return lease;
        }).then();
    }

    @Override
    public Mono<FollowResult<V>> follow(K key, Optional<String> version, long since) {
        return step("follow", key, () -> {
            Optional<Versioned<V>> seen = current(key);
            if (seen.isPresent() && !seen.map(Versioned::version).equals(version)) {
                return new FollowResult.Changed<>(seen.get());
            }
            Optional<InMemoryFailure<V>> failure = Optional.ofNullable(store.failures.get(key))
                    .filter(one -> one.failedAtStep() >= since && one.expiresAt() > store.now());
            if (failure.isPresent()) {
                return new FollowResult.LeaderFailed<>(failure.get().value());
            }
            Optional<InMemoryLease> held = currentLease(key);
            if (held.isEmpty()) {
                return new FollowResult.Unlocked<>();
            }
            if (!store.full) {
                store.waiting.computeIfAbsent(key, any -> new HashSet<>()).add(replica);
            }
            return new FollowResult.Locked<>(Duration.ofNanos(held.get().expiresAt() - store.now()));
        });
    }

    @Override
    public FillSubscription subscribe(K key) {
        var ear = new InMemorySubscription(replica);
        synchronized (store) {
            store.subscriptions.computeIfAbsent(key, any -> new ArrayList<>()).add(ear);
        }
        return new FillSubscription() {
            @Override
            public Mono<FillNotification> notification() {
                return ear.notification.asMono();
            }

            @Override
            public void close() {
                synchronized (store) {
                    store.subscriptions.computeIfPresent(key, (any, all) -> {
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
                return switch (store.stepOutcome.apply(new TierStep<>(replica, name, key))) {
                    case DONE -> Mono.just(execute(action));
                    case REFUSED -> Mono.error(unavailable("refused"));
                    case DONE_WITHOUT_REPLY -> {
                        execute(action);
                        yield Mono.error(unavailable("done, but unanswered"));
                    }
                    case REPEATED -> {
                        execute(action);
                        yield Mono.just(execute(action));
                    }
                };
            }
        });
    }

    /** Each step has a number of its own: it is the tier's time, finer than the clock. */
    private <T> T execute(Supplier<T> action) {
        store.steps++;
        return action.get();
    }

    private Optional<Versioned<V>> current(K key) {
        return Optional.ofNullable(store.entries.get(key))
                .filter(entry -> entry.expiresAt() > store.now())
                .map(InMemoryEntry::seen);
    }

    private Optional<InMemoryLease> currentLease(K key) {
        return Optional.ofNullable(store.leases.get(key)).filter(held -> held.expiresAt() > store.now());
    }

    private boolean holdsLease(Lease<K> lease) {
        return currentLease(lease.key()).filter(held -> held.holder().equals(lease.holder())).isPresent();
    }

    private void releaseLease(Lease<K> lease, FillNotification ring) {
        K key = lease.key();
        store.leases.remove(key);
        Set<String> waiting = Optional.ofNullable(store.waiting.remove(key)).orElse(Set.of());
        waiting.stream()
                .sorted()
                .forEach(one -> store.notificationDelay.apply(ring)
                        .ifPresent(delay -> store.scheduler
                                .schedule(() -> store.notifyReplica(one, key, ring), delay.toNanos(),
                                        TimeUnit.NANOSECONDS)));
    }

    private static TierUnavailableException unavailable(String why) {
        return new TierUnavailableException("the tier in memory: " + why, new TimeoutException(why));
    }
}
