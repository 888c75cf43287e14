package dev.corral.coalesce;

import dev.corral.coalesce.FillResult.FillFailed;
import dev.corral.coalesce.FillResult.NotShareable;
import dev.corral.coalesce.FillResult.Shared;
import dev.corral.coalesce.FlightResult.Source;
import dev.corral.coalesce.Flights.FlightCompletion;
import dev.corral.coalesce.SharedTier.FillNotification;
import dev.corral.coalesce.SharedTier.FillSubscription;
import dev.corral.coalesce.SharedTier.FollowResult;
import dev.corral.coalesce.SharedTier.LeaderSnapshot;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import java.io.Serial;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * At most one fetch per key in flight in the whole fleet; everybody else waits for its answer. Thread-safe.
 *
 * <h2>The algorithm</h2>
 *
 * Look; join the flight of the key in this process. In the flight look again and try to lead. Who leads looks once more, fills,
 * publishes. Who does not, follows: on each ring or tick it looks, or tries to lead. After its patience it fills alone.
 *
 * <h2>Why look again with the lease in hand</h2>
 *
 * <ol>
 * <li>B looks: absent.
 * <li>A, which leads, publishes and gives its lease back.
 * <li>B takes the lease: it is free.
 * <li>Without a second look B would now fetch what A has just stored.
 * </ol>
 *
 * <h2>What is promised when things go wrong</h2>
 *
 * The lease makes a second fetch rare; it does not make it impossible. What makes it harmless is that publish is fenced: it
 * stores only while the lease is still this flight's own.
 * <ul>
 * <li>The leader dies: its lease lapses, a follower finds the key free and takes over.
 * <li>The leader is paused past its lease: likewise; when it wakes its publish is refused. Its own waiters get its answer.
 * <li>Rings are lost: followers look again at every poll.
 * <li>The tier is slow: the flight waits for it, within its patience.
 * <li>The tier is known to be unavailable: the flight is still one per process, and fills without a lease. The response is kept in
 * this process.
 * <li>The lock and the values are on different servers, each of which is living: no flight waits for a lock that the values' server
 * does not have; it fills without a lease, as when the tier is unavailable.
 * <li>The fetch fails: everybody who waited is told, once. The flight is gone before anybody hears of it, and the failure is
 * handed to nobody who comes later.
 * <li>The answer is for one request only: all others, in all replicas, are released at once, to fetch in parallel.
 * <li>A caller leaves: nothing happens. The flight ends by its own bounds.
 * </ul>
 *
 * <p>What is not promised: that the one who opened the flight gets a different treatment from those who boarded, or that a
 * value still serves a caller when it lands. Callers judge what they get, and may ask again.
 */
public final class Coalescer<K, V> {

    /**
     * How long those who wait here may wait for the write as well, to be told truthfully whether the value is stored: a round trip,
     * and one lost packet.
     */
    private static final Duration MAX_STORE_WAIT = Duration.ofMillis(250);

    /** The pause before a lock is tried again that has just been said to be free and was not; doubled each time. */
    private static final Duration INITIAL_RETRY_DELAY = Duration.ofMillis(25);

    /** Renewals of one lease on their way at a time: each is sent whether or not the one before has a reply. */
    private static final int MAX_CONCURRENT_RENEWALS = 16;

    /** So often in a row may a lock be refused by one side of the tier and unknown to the other: by then it is no coincidence. */
    private static final int MAX_LOCK_CONTRADICTIONS = 5;

    /** The patience of a flight is at its end while a step of the tier is still awaited. */
    private static final class MaxWaitExceededException extends RuntimeException {

        @Serial
        private static final long serialVersionUID = 1;

        MaxWaitExceededException() {
            super("the flight's patience is at its end", null, false, false);
        }
    }

    private final SharedTier<K, V> tier;
    private final Flights<K, V> flights;
    private final CoalescerLimits limits;
    private final LongSupplier purgePosition;
    private final Scheduler scheduler;
    private final Scheduler renewalScheduler;
    private final RandomGenerator random;
    private final CoalescerListener listener;
    private final Set<FlightProtocol> activeProtocols = ConcurrentHashMap.newKeySet();

    /**
     * @param purgePosition the last purge position this replica knows of, for fills while the tier is away; one too old is safe
     * @param scheduler     where waits are timed
     * @param renewals      where the renewals of leases are timed: a thread that nothing else keeps busy, or a busy process loses them
     * @param random        spreads the polls of the replicas
     */
    public Coalescer(SharedTier<K, V> tier, CoalescerLimits timing, LongSupplier purgePosition, Scheduler scheduler,
            Scheduler renewals, RandomGenerator random, CoalescerListener events) {
        this.tier = tier;
        this.flights = new Flights<>(timing, events);
        this.limits = timing;
        this.purgePosition = purgePosition;
        this.scheduler = scheduler;
        this.renewalScheduler = renewals;
        this.random = random;
        this.listener = events;
    }

    /**
     * Boards the flight for the key, or opens it. Emits exactly one outcome. Cancelling leaves the flight in the air. Errors only
     * when a fill broke its contract.
     */
    public Mono<FlightResult<V>> join(FillRequest<K, V> ask) {
        return flights.join(ask.key(), there -> ask.isUsable(there, false), () -> new FlightProtocol(ask).run());
    }

    /**
     * Gives back every lease this process holds, so that others take over at once. For a process that ends: its flights still in
     * the air go on, fenced out.
     */
    public Mono<Void> releaseAllLeases() {
        return Flux.fromIterable(activeProtocols).flatMap(FlightProtocol::releaseHeldLease).then();
    }

    /**
     * Gives up on the flight of the key in this process: whoever comes from now on, here or elsewhere, starts afresh. Those aboard
     * keep it to its end, but what it fetches is no longer published. False when there is none.
     */
    public Mono<Boolean> abandonFlight(K key) {
        return Flux.fromIterable(activeProtocols)
                .filter(course -> course.request.key().equals(key) && !course.isAbandoned)
                .doOnNext(course -> {
                    course.isAbandoned = true;
                    flights.forget(key);
                })
                .concatMap(course -> course.releaseHeldLease().thenReturn(true))
                .any(given -> given);
    }

    /** The flights in the air in this process, save those given up, those with the most waiters first. */
    public List<FlightInfo<K>> flights() {
        long now = scheduler.now(TimeUnit.NANOSECONDS);
        return activeProtocols.stream()
                .filter(course -> !course.isAbandoned)
                .map(course -> course.info(now))
                .sorted(Comparator.comparingInt(FlightInfo<K>::waiters).reversed())
                .toList();
    }

    /** Spares the others the wait for the lease to lapse; that wait is the bound. */
    private Mono<Void> releaseLease(Lease<K> lease, FillNotification ring) {
        return withinLeaseTtl(tier.release(lease, ring));
    }

    /** A step that has no effect once the lease has lapsed. */
    private Mono<Void> withinLeaseTtl(Mono<Void> step) {
        return step.timeout(limits.leaseTtl(), Mono.empty(), scheduler).onErrorComplete(TierUnavailableException.class);
    }

    /** What is stored, without a flight; empty when the key is absent, or the tier unavailable or slower than {@code patience}. */
    public Mono<V> find(K key, Duration patience) {
        return tier.find(key)
                .map(Versioned::value)
                .timeout(patience, Mono.empty(), scheduler)
                .onErrorComplete(TierUnavailableException.class);
    }

    /**
     * Publishes what was fetched outside a flight, in place of the value of that version: not if anything newer is there, nor if
     * somebody fills the key now. Emits whether it is stored now, within half a lease's time: the lease is not renewed, and is given
     * back before it lapses. Never errors for want of the tier.
     */
    public Mono<Boolean> tryPublish(K key, String version, List<Write<K, V>> writes) {
        return tier.tryLead(key, limits.leaseTtl()).flatMap(attempt -> switch (attempt) {
            case LeaseAttempt.Acquired<K>(Lease<K> lease) -> replaceVersion(lease, version, writes);
            case LeaseAttempt.HeldByOther<K> lost -> Mono.just(false);
        })
                .timeout(limits.leaseTtl().dividedBy(2), Mono.just(false), scheduler)
                .onErrorReturn(TierUnavailableException.class, false);
    }

    /** Given up on its way, it gives the lease back, so that nobody waits for it to lapse. */
    private Mono<Boolean> replaceVersion(Lease<K> lease, String version, List<Write<K, V>> writes) {
        Mono<Void> giveBack = releaseLease(lease, FillNotification.STATE_CHANGED);
        return Mono.usingWhen(Mono.just(lease),
                held -> tier.snapshot(held)
                        .flatMap(ground -> ground.current().map(Versioned::version).orElse(version).equals(version)
                                ? tier.publish(held, ground.version(), writes)
                                        .doOnNext(this::reportPublishResult)
                                        .map(PublishResult.STORED::equals)
                                : giveBack.thenReturn(false)),
                done -> Mono.empty(),
                (failed, error) -> giveBack,
                cancelled -> giveBack);
    }

    private void reportPublishResult(PublishResult published) {
        switch (published) {
            case STORED -> listener.onFilled();
            case FENCED -> listener.onFenced();
            case OUT_OF_MEMORY -> listener.onReleased(CoalescerListener.ReleaseReason.OUT_OF_MEMORY);
        }
    }

    private long nanoTime() {
        return scheduler.now(TimeUnit.NANOSECONDS);
    }

    /** Whether a flight for the key is in the air in this process. */
    public boolean isInFlight(K key) {
        return flights.isInFlight(key);
    }

    /** Flights in the air in this process. */
    public int flightCount() {
        return flights.flightCount();
    }

    /** Callers who wait in this process. */
    public int waiterCount() {
        return flights.waiterCount();
    }

    /** One flight from look to landing. Its steps run one after the other, so its state needs no guard. */
    private final class FlightProtocol {

        private final FillRequest<K, V> request;
        /** The key of this flight: what is asked for may be another key later. */
        private final K flightKey;
        private final long startNanos = scheduler.now(TimeUnit.NANOSECONDS);
        private Optional<Versioned<V>> knownValue = Optional.empty();
        private Optional<String> snapshotVersion = Optional.empty();
        /** Whether the tier itself was looked at, so that another version than the one seen has come since. */
        private boolean hasReadTier;
        /** How often in a row the lock was refused and then said to be free. */
        private int lockContradictions;
        private final Disposable.Swap renewal = Disposables.swap();
        // Read by operators too.
        private volatile Optional<Lease<K>> heldLease = Optional.empty();
        private volatile boolean isFollowing;
        // It flies on for those aboard; the key may have another by now.
        private volatile boolean isAbandoned;

        FlightProtocol(FillRequest<K, V> ask) {
            this.flightKey = ask.key();
            this.request = ask;
        }

        Mono<FlightCompletion<V>> run() {
            activeProtocols.add(this);
            return lookup()
                    .doOnError(broken -> finish())
                    .map(landing -> new FlightCompletion<>(landing.result(),
                            landing.pendingWrite().doFinally(end -> finish())));
        }

        private void finish() {
            renewal.dispose();
            activeProtocols.remove(this);
            request.onFlightEnd(flightKey);
        }

        FlightInfo<K> info(long now) {
            var role = heldLease.isPresent()
                    ? FlightInfo.FlightRole.LEADER
                    : isFollowing ? FlightInfo.FlightRole.FOLLOWER : FlightInfo.FlightRole.LOOKING;
            return new FlightInfo<>(request.key(), request.displayName(), role, Duration.ofNanos(now - startNanos),
                    flights.waiterCount(request.key()));
        }

        Mono<Void> releaseHeldLease() {
            return heldLease.map(lease -> releaseLease(lease, FillNotification.STATE_CHANGED)).orElse(Mono.empty());
        }

        private Mono<FlightCompletion<V>> lookup() {
            return withinMaxWait(tier.find(request.key()).map(Optional::of).defaultIfEmpty(Optional.empty()))
                    .flatMap(this::completeOrLead)
                    // The one place where a missing tier shows: this process goes on by itself.
                    .onErrorResume(TierUnavailableException.class, away -> onTierUnavailable())
                    .onErrorResume(MaxWaitExceededException.class, late -> onMaxWaitExceeded());
        }

        /** A step of the tier within the flight's patience. */
        private <T> Mono<T> withinMaxWait(Mono<T> step) {
            Duration left = remainingWait();
            return left.isPositive()
                    ? step.timeout(left, Mono.error(MaxWaitExceededException::new), scheduler)
                    : Mono.error(new MaxWaitExceededException());
        }

        private Mono<FlightCompletion<V>> completeOrLead(Optional<Versioned<V>> found) {
            knownValue = found;
            hasReadTier = found.isEmpty() || !found.get().isFromMemory();
            if (found.isPresent() && request.isUsable(found.get().value(), false)) {
                return Mono.just(completed(found.get(), Source.FOUND));
            }
            return tryLead();
        }

        private Mono<FlightCompletion<V>> tryLead() {
            return Mono.defer(() -> {
                long asked = nanoTime();
                return withinMaxWait(tier.tryLead(request.key(), limits.leaseTtl()))
                        .flatMap(attempt -> switch (attempt) {
                            case LeaseAttempt.Acquired<K>(Lease<K> lease) -> proceedAsLeader(lease, asked);
                            case LeaseAttempt.HeldByOther<K>(long since) -> follow(since);
                        });
            });
        }

        private Mono<FlightCompletion<V>> proceedAsLeader(Lease<K> lease, long asked) {
            heldLease = Optional.of(lease);
            renewal.update(startRenewal(lease, asked));
            if (isFollowing) {
                listener.onTakeover();
                endWait();
            }
            return withinMaxWait(tier.snapshot(lease)).flatMap(ground -> ground.isLeaseHeld()
                    ? completeOrFill(lease, ground)
                    : retryAfterContradiction(() -> {
                        heldLease = Optional.empty();
                        renewal.update(Disposables.disposed());
                        return releaseLease(lease, FillNotification.STATE_CHANGED).then(lookup());
                    }));
        }

        /**
         * One side of the tier says that there is a lock, the other that there is none: it was given back or has lapsed in between,
         * or the two sides are not one. Never a wait for such a lock, nor a loop without a pause.
         */
        private Mono<FlightCompletion<V>> retryAfterContradiction(Supplier<Mono<FlightCompletion<V>>> again) {
            lockContradictions++;
            if (lockContradictions >= MAX_LOCK_CONTRADICTIONS) {
                return Mono.error(new TierUnavailableException("the locks are not where the values are"));
            }
            if (lockContradictions == 1) {
                return Mono.defer(again);
            }
            Duration pause = INITIAL_RETRY_DELAY.multipliedBy(1L << (lockContradictions - 2));
            return withinMaxWait(Mono.delay(pause.plusNanos((long) (pause.toNanos() * random.nextDouble())), scheduler))
                    .flatMap(over -> again.get());
        }

        private Mono<FlightCompletion<V>> completeOrFill(Lease<K> lease, LeaderSnapshot<V> ground) {
            boolean changed = hasReadTier && ground.current().isPresent()
                    && !ground.current().map(Versioned::version).equals(knownValue.map(Versioned::version));
            knownValue = ground.current();
            snapshotVersion = ground.version();
            if (knownValue.isPresent() && request.isUsable(knownValue.get().value(), changed)) {
                FlightCompletion<V> landing = completed(knownValue.get(), changed ? Source.FOLLOWER : Source.FOUND);
                return Mono.just(
                        new FlightCompletion<>(landing.result(), releaseLease(lease, FillNotification.STATE_CHANGED)));
            }
            return fill(lease, ground.purgePosition());
        }

        private Mono<FlightCompletion<V>> fill(Lease<K> lease, long position) {
            Mono<FillResult<K, V>> fill = Mono.defer(() -> request.fill(knownValue.map(Versioned::value), position));
            return fill
                    .onErrorResume(
                            broken -> releaseLease(lease, FillNotification.NOT_SHAREABLE).then(Mono.error(broken)))
                    .flatMap(filled -> applyFillResult(lease, filled));
        }

        /**
         * Keeps the lease from its first moment until the flight has ended, the write included: a slow tier or a busy process may
         * need longer than a lease for each step. A lost lease does not end the fetch, it only makes the publish void. No renewal
         * waits for the reply to the one before, which may be late though the tier is not.
         *
         * @param asked when the lease was asked for: it began no earlier
         */
        private Disposable startRenewal(Lease<K> lease, long asked) {
            Duration third = limits.leaseTtl().dividedBy(3);
            Duration first = third.minusNanos(nanoTime() - asked);
            return Flux.interval(first.isNegative() ? Duration.ZERO : first, third, renewalScheduler)
                    .onBackpressureDrop()
                    .flatMap(
                            tick -> tier.renew(lease, limits.leaseTtl())
                                    .onErrorReturn(TierUnavailableException.class, true),
                            MAX_CONCURRENT_RENEWALS)
                    .takeWhile(stillHeld -> stillHeld)
                    .subscribe(kept -> {}, cause -> listener.onBackgroundError("renewal of a lease", cause));
        }

        private Mono<FlightCompletion<V>> applyFillResult(Lease<K> lease, FillResult<K, V> filled) {
            return switch (filled) {
                case Shared<K, V>(V value, List<Write<K, V>> writes, boolean lasting) ->
                    publishShared(lease, value, writes, lasting);
                case NotShareable<K, V>(List<Write<K, V>> writes) -> {
                    listener.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE);
                    yield Mono.just(new FlightCompletion<>(uncoalesced(writes), writes.isEmpty()
                            ? releaseLease(lease, FillNotification.NOT_SHAREABLE)
                            : publish(lease, writes).then()));
                }
                // Told to the fleet first, so that a request that comes back at once starts afresh.
                case FillFailed<K, V>(V failure) ->
                    withinLeaseTtl(tier.publishFailure(lease, failure)).thenReturn(failed(failure));
            };
        }

        /** What does not last is told when it is stored, or cannot be; the rest a moment earlier if the write is slow. */
        private Mono<FlightCompletion<V>> publishShared(Lease<K> lease, V value, List<Write<K, V>> writes,
                boolean lasting) {
            Mono<Boolean> write = publish(lease, writes).cache();
            Mono<Boolean> known = lasting ? write.timeout(MAX_STORE_WAIT, Mono.just(false), scheduler) : write;
            return known.map(stored -> new FlightCompletion<>(
                    new FlightResult.Value<>(value, lease.holder(), Source.LEADER, stored), write.then()));
        }

        /** Emits whether the values are stored. */
        private Mono<Boolean> publish(Lease<K> lease, List<Write<K, V>> writes) {
            return tier.publish(lease, snapshotVersion, writes)
                    .doOnNext(Coalescer.this::reportPublishResult)
                    .map(PublishResult.STORED::equals)
                    .timeout(request.maxWait(), Mono.defer(() -> {
                        // Too large for the way to the tier. Kept here, or every request would try it again.
                        writes.forEach(tier::keepLocally);
                        listener.onReleased(CoalescerListener.ReleaseReason.OUT_OF_MEMORY);
                        return releaseLease(lease, FillNotification.NOT_SHAREABLE).thenReturn(false);
                    }), scheduler)
                    .onErrorResume(TierUnavailableException.class, away -> {
                        // Written or not, nobody here can tell: this process remembers it, the others will look.
                        writes.forEach(tier::keepLocally);
                        return Mono.just(true);
                    });
        }

        private Mono<FlightCompletion<V>> follow(long since) {
            isFollowing = true;
            // Listen, then look: a ring that comes before the answer to this look is kept by the latch.
            return Mono
                    .using(() -> tier.subscribe(request.key()), latch -> nextStep(since, latch),
                            FillSubscription::close)
                    .flatMap(step -> step);
        }

        /** One look of a follower. Emits the step to take when the latch is closed, so that waits do not pile up. */
        private Mono<Mono<FlightCompletion<V>>> nextStep(long since, FillSubscription latch) {
            return withinMaxWait(tier.follow(request.key(), knownValue.map(Versioned::version), since))
                    .flatMap(sight -> {
                        boolean awaited = hasReadTier;
                        hasReadTier = true;
                        return switch (sight) {
                            case FollowResult.Changed<V>(Versioned<V> now) -> Mono.just(onChanged(now, awaited));
                            case FollowResult.LeaderFailed<V>(V failure) ->
                                Mono.just(Mono.just(endWait(failed(failure))));
                            case FollowResult.Unlocked<V> free -> Mono.just(retryAfterContradiction(this::tryLead));
                            case FollowResult.Locked<V>(Duration left) -> {
                                lockContradictions = 0;
                                yield awaitNotification(since, latch, left);
                            }
                        };
                    });
        }

        private Mono<FlightCompletion<V>> onChanged(Versioned<V> now, boolean awaited) {
            knownValue = Optional.of(now);
            return request.isUsable(now.value(), awaited)
                    ? Mono.just(endWait(completed(now, awaited ? Source.FOLLOWER : Source.FOUND)))
                    : Mono.defer(this::tryLead);
        }

        private Mono<Mono<FlightCompletion<V>>> awaitNotification(long since, FillSubscription latch, Duration left) {
            Mono<FlightCompletion<V>> again = Mono.defer(() -> follow(since));
            return latch.notification()
                    .map(ring -> switch (ring) {
                        case STATE_CHANGED -> again;
                        case NOT_SHAREABLE -> Mono.defer(this::onNotShareableRemote);
                    })
                    .timeout(nextPollDelay(left), Mono.just(again), scheduler);
        }

        /** When to look again unrung: soon after the lease would lapse, at each poll, at the end of patience. */
        private Duration nextPollDelay(Duration left) {
            Duration look = left.compareTo(limits.pollInterval()) < 0 ? left : limits.pollInterval();
            Duration spread = look.plusNanos((long) (limits.pollJitter().toNanos() * random.nextDouble()));
            Duration patience = remainingWait();
            return spread.compareTo(patience) < 0
                    ? spread
                    : patience.isNegative() ? Duration.ZERO : patience.plusNanos(1);
        }

        private Mono<FlightCompletion<V>> onNotShareableRemote() {
            listener.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE_REMOTE);
            return Mono.just(endWait(FlightCompletion.of(new FlightResult.Uncoalesced<V>())));
        }

        /**
         * With the lease in hand it fills for all: the second look and the purge position were late, and an older position is safe.
         */
        private Mono<FlightCompletion<V>> onMaxWaitExceeded() {
            listener.onReleased(CoalescerListener.ReleaseReason.WAIT_TIMEOUT);
            endWait();
            return heldLease.map(lease -> fill(lease, purgePosition.getAsLong()))
                    .orElseGet(() -> fillWithoutLease(false));
        }

        private Mono<FlightCompletion<V>> onTierUnavailable() {
            listener.onDegraded();
            endWait();
            return fillWithoutLease(true);
        }

        /** Fills without a lease. Without one nothing is published; kept here only if nobody else could have published either. */
        private Mono<FlightCompletion<V>> fillWithoutLease(boolean keep) {
            // At once: nobody else is to wait for a flight that publishes nothing.
            renewal.update(Disposables.disposed());
            Mono<Void> after = releaseHeldLease().cache();
            // What goes wrong with it is told at the landing.
            after.subscribe(nothing -> {}, told -> {});
            return request.fill(knownValue.map(Versioned::value), purgePosition.getAsLong())
                    .map(filled -> switch (filled) {
                        case Shared<K, V>(V value, List<Write<K, V>> writes, boolean lasting) -> {
                            if (keep) {
                                writes.forEach(tier::keepLocally);
                            }
                            yield new FlightCompletion<>(
                                    new FlightResult.Value<>(value, "", Source.WITHOUT_LEASE, keep), after);
                        }
                        case NotShareable<K, V> withhold -> {
                            listener.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE);
                            yield new FlightCompletion<>(uncoalesced(withhold.writes()), after);
                        }
                        case FillFailed<K, V>(V failure) -> new FlightCompletion<>(failed(failure).result(), after);
                    });
        }

        private FlightResult<V> uncoalesced(List<Write<K, V>> writes) {
            return new FlightResult.Uncoalesced<>(writes.stream().findFirst().map(Write::value));
        }

        private FlightCompletion<V> completed(Versioned<V> found, Source role) {
            return FlightCompletion.of(new FlightResult.Value<>(found.value(), found.version(), role, true));
        }

        private FlightCompletion<V> failed(V failure) {
            return FlightCompletion.of(new FlightResult.FlightFailed<>(failure, knownValue.map(Versioned::value)));
        }

        private FlightCompletion<V> endWait(FlightCompletion<V> landing) {
            endWait();
            return landing;
        }

        private void endWait() {
            if (isFollowing) {
                isFollowing = false;
                listener.onFollowerWaitEnd(Duration.ofNanos(nanoTime() - startNanos));
            }
        }

        private Duration remainingWait() {
            return request.maxWait().minusNanos(nanoTime() - startNanos);
        }
    }
}
