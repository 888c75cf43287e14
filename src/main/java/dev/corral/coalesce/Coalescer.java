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
 * Request coalescing for the whole fleet: at most one fetch per key is in flight, and all other callers wait for its response.
 * Thread-safe. Every flight runs on the threads of the tier and the fill; waits are timed on a scheduler, and lease renewals on
 * a
 * scheduler of their own.
 *
 * <h2>Algorithm</h2>
 *
 * <ol>
 * <li>Join the flight of the key in this process, or start it. The remaining steps belong to the flight, and run once for all
 * of
 * its callers.
 * <li>Read the shared tier. If the stored value is usable, the flight ends with it.
 * <li>Try to take the lease of the key. The flight that gets it is the leader; every other flight of the fleet is a follower.
 * <li>The leader reads the tier once more, calls the fill, and publishes the result while it still holds the lease.
 * <li>A follower registers for a notification and waits. On each notification, and at each poll, it reads the tier again: a new
 * value ends its flight; if the lease is free, it tries to lead.
 * <li>A flight that has waited for its maximum wait fills without a lease.
 * </ol>
 *
 * <h2>Why the leader reads the tier again</h2>
 *
 * <ol>
 * <li>Replica B reads the tier: the key is absent.
 * <li>Replica A, the leader, publishes the value and releases the lease.
 * <li>Replica B tries to lead, and gets the lease: it is free.
 * <li>Without a second read, B would now fetch the value that A has just stored.
 * </ol>
 *
 * <h2>Failures</h2>
 *
 * The lease makes a second fetch rare, not impossible. Fencing makes it harmless: a publish stores its values only while the
 * lease
 * still belongs to this flight.
 * <ul>
 * <li>The leader dies: its lease expires, a follower finds the key unlocked and takes over.
 * <li>The leader is paused for longer than its lease: a follower takes over in the same way. When the old leader resumes, its
 * publish is refused. Its waiters still get its response.
 * <li>Notifications are lost: followers read the tier again at every poll.
 * <li>The tier is slow: the flight waits for it, for its maximum wait at most.
 * <li>The tier is known to be unavailable: there is still one flight per process, and it fills without a lease. The response is
 * kept in the memory of this process.
 * <li>The locks and the values are on different servers, both of them alive: no flight waits for a lock that the values' server
 * does not have. The flight fills without a lease, as when the tier is unavailable.
 * <li>The fetch fails: every waiter gets the failure, once. The flight is removed before its result is emitted, and no later
 * caller
 * gets the failure.
 * <li>The response is not shareable: all other callers, in all replicas, are released at once and fetch in parallel.
 * <li>A caller cancels: nothing happens to the flight. It ends by its own time limits.
 * </ul>
 *
 * <h2>What is not guaranteed</h2>
 *
 * The caller that started the flight is not treated differently from the callers that joined it. A value may no longer be
 * usable for
 * a caller when the flight ends: callers check the value that they get, and may join again.
 */
public final class Coalescer<K, V> {

    /**
     * The time for which the waiters of this replica also wait for the write, so that {@code isStored} is accurate: a round
     * trip and one lost packet.
     */
    private static final Duration MAX_STORE_WAIT = Duration.ofMillis(250);

    /** The delay before another attempt at a lock that was reported free and could not be taken; doubled on each attempt. */
    private static final Duration INITIAL_RETRY_DELAY = Duration.ofMillis(25);

    /** Concurrent renewals of one lease: each renewal is sent whether or not the previous one has a reply. */
    private static final int MAX_CONCURRENT_RENEWALS = 16;

    /**
     * Consecutive lock contradictions (one part of the tier refuses the lock, the other does not know it) after which the tier
     * counts as unavailable: so many are not a coincidence.
     */
    private static final int MAX_LOCK_CONTRADICTIONS = 5;

    /** The maximum wait of a flight has passed while a step of the tier is still pending. */
    private static final class MaxWaitExceededException extends RuntimeException {

        @Serial
        private static final long serialVersionUID = 1;

        MaxWaitExceededException() {
            super("the maximum wait of the flight has passed", null, false, false);
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
     * @param limits           lease, poll and waiter limits
     * @param purgePosition    the last purge position that this replica knows, for fills while the tier is unavailable; an old
     *              position is safe
     * @param scheduler        times the waits
     * @param renewalScheduler times the lease renewals: a thread that does nothing else, or a busy process would lose its
     *              leases
     * @param random           spreads the polls of the replicas
     * @param listener         receives events for metrics and logs
     */
    public Coalescer(SharedTier<K, V> tier, CoalescerLimits limits, LongSupplier purgePosition, Scheduler scheduler,
            Scheduler renewalScheduler, RandomGenerator random, CoalescerListener listener) {
        this.tier = tier;
        this.flights = new Flights<>(limits, listener);
        this.limits = limits;
        this.purgePosition = purgePosition;
        this.scheduler = scheduler;
        this.renewalScheduler = renewalScheduler;
        this.random = random;
        this.listener = listener;
    }

    /**
     * Joins the flight of the key, or starts it. Emits exactly one result. Cancellation does not end the flight. Errors only
     * when a fill breaks its contract.
     */
    public Mono<FlightResult<V>> join(FillRequest<K, V> request) {
        return flights.join(request.key(), value -> request.isUsable(value, false),
                () -> new FlightProtocol(request).run());
    }

    /**
     * Releases every lease that this process holds, so that other replicas take over at once. Used at shutdown: the flights
     * still in progress continue, and their publishes are fenced.
     */
    public Mono<Void> releaseAllLeases() {
        return Flux.fromIterable(activeProtocols).flatMap(FlightProtocol::releaseHeldLease).then();
    }

    /**
     * Abandons the flight of the key in this process: later callers, in this replica and in others, start a new flight. The
     * callers that have joined it still get its result, but its values are no longer published. Emits false when there is no
     * such flight.
     */
    public Mono<Boolean> abandonFlight(K key) {
        return Flux.fromIterable(activeProtocols)
                .filter(protocol -> protocol.request.key().equals(key) && !protocol.isAbandoned)
                .doOnNext(protocol -> {
                    protocol.isAbandoned = true;
                    flights.forget(key);
                })
                .concatMap(protocol -> protocol.releaseHeldLease().thenReturn(true))
                .any(isAbandoned -> isAbandoned);
    }

    /** The flights in progress in this process, without the abandoned ones, sorted by waiters in descending order. */
    public List<FlightInfo<K>> flights() {
        long now = scheduler.now(TimeUnit.NANOSECONDS);
        return activeProtocols.stream()
                .filter(protocol -> !protocol.isAbandoned)
                .map(protocol -> protocol.info(now))
                .sorted(Comparator.comparingInt(FlightInfo<K>::waiters).reversed())
                .toList();
    }

    /** Releases the lease, so that other replicas need not wait until it expires. That expiry is also the time limit. */
    private Mono<Void> releaseLease(Lease<K> lease, FillNotification notification) {
        return withinLeaseTtl(tier.release(lease, notification));
    }

    /** Limits a step that has no effect after the lease has expired. */
    private Mono<Void> withinLeaseTtl(Mono<Void> step) {
        return step.timeout(limits.leaseTtl(), Mono.empty(), scheduler).onErrorComplete(TierUnavailableException.class);
    }

    /**
     * The stored value, read without a flight; empty when the key is absent, or the tier is unavailable or does not respond
     * within {@code timeout}.
     */
    public Mono<V> find(K key, Duration timeout) {
        return tier.find(key)
                .map(Versioned::value)
                .timeout(timeout, Mono.empty(), scheduler)
                .onErrorComplete(TierUnavailableException.class);
    }

    /**
     * Publishes values that were fetched outside a flight, replacing the value of that version. Stores nothing when a newer
     * value is there or another flight is filling the key. Emits whether the values are stored, within half the lease TTL: the
     * lease is not renewed, and is released before it expires. An unavailable tier emits false, not an error.
     */
    public Mono<Boolean> tryPublish(K key, String version, List<Write<K, V>> writes) {
        return tier.tryLead(key, limits.leaseTtl()).flatMap(attempt -> switch (attempt) {
            case LeaseAttempt.Acquired<K>(Lease<K> lease) -> replaceVersion(lease, version, writes);
            case LeaseAttempt.HeldByOther<K> other -> Mono.just(false);
        })
                .timeout(limits.leaseTtl().dividedBy(2), Mono.just(false), scheduler)
                .onErrorReturn(TierUnavailableException.class, false);
    }

    /** On cancellation and on errors the lease is released, so that no follower waits until it expires. */
    private Mono<Boolean> replaceVersion(Lease<K> lease, String version, List<Write<K, V>> writes) {
        Mono<Void> release = releaseLease(lease, FillNotification.STATE_CHANGED);
        return Mono.usingWhen(Mono.just(lease),
                held -> tier.snapshot(held)
                        .flatMap(snapshot -> snapshot.current().map(Versioned::version).orElse(version).equals(version)
                                ? tier.publish(held, snapshot.version(), writes)
                                        .doOnNext(this::reportPublishResult)
                                        .map(PublishResult.STORED::equals)
                                : release.thenReturn(false)),
                published -> Mono.empty(),
                (failed, error) -> release,
                ignored -> release);
    }

    private void reportPublishResult(PublishResult result) {
        switch (result) {
            case STORED -> listener.onFilled();
            case FENCED -> listener.onFenced();
            case OUT_OF_MEMORY -> listener.onReleased(CoalescerListener.ReleaseReason.OUT_OF_MEMORY);
        }
    }

    private long nanoTime() {
        return scheduler.now(TimeUnit.NANOSECONDS);
    }

    /** Whether a flight of the key is in progress in this process. */
    public boolean isInFlight(K key) {
        return flights.isInFlight(key);
    }

    /** The number of flights in progress in this process. */
    public int flightCount() {
        return flights.flightCount();
    }

    /** The number of callers that wait in this process. */
    public int waiterCount() {
        return flights.waiterCount();
    }

    /** The steps of one flight, from the first read to its result. They run one after the other, so its state needs no lock. */
    private final class FlightProtocol {

        private final FillRequest<K, V> request;
        /** The key of this flight. {@code request.key()} may change after the flight has ended. */
        private final K flightKey;
        private final long startNanos = scheduler.now(TimeUnit.NANOSECONDS);
        private Optional<Versioned<V>> knownValue = Optional.empty();
        private Optional<String> snapshotVersion = Optional.empty();
        /**
         * Whether the tier itself was read, not only the near cache: only then does a different version mean a change since the
         * read.
         */
        private boolean hasReadTier;
        /** Consecutive attempts at which the lock was refused and then reported free. */
        private int lockContradictions;
        private final Disposable.Swap renewal = Disposables.swap();
        // Also read by flights(), on other threads.
        private volatile Optional<Lease<K>> heldLease = Optional.empty();
        private volatile boolean isFollowing;
        // An abandoned flight continues for the callers that have joined it; the key may have a new flight.
        private volatile boolean isAbandoned;

        FlightProtocol(FillRequest<K, V> request) {
            this.flightKey = request.key();
            this.request = request;
        }

        Mono<FlightCompletion<V>> run() {
            activeProtocols.add(this);
            return lookup()
                    .doOnError(e -> finish())
                    .map(completion -> new FlightCompletion<>(completion.result(),
                            completion.pendingWrite().doFinally(end -> finish())));
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
                    // The only place that handles an unavailable tier: the flight continues in this process alone.
                    .onErrorResume(TierUnavailableException.class, e -> onTierUnavailable())
                    .onErrorResume(MaxWaitExceededException.class, e -> onMaxWaitExceeded());
        }

        /** Limits a step of the tier to the rest of the flight's maximum wait. */
        private <T> Mono<T> withinMaxWait(Mono<T> step) {
            Duration remaining = remainingWait();
            return remaining.isPositive()
                    ? step.timeout(remaining, Mono.error(MaxWaitExceededException::new), scheduler)
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
                long requestedAtNanos = nanoTime();
                return withinMaxWait(tier.tryLead(request.key(), limits.leaseTtl()))
                        .flatMap(attempt -> switch (attempt) {
                            case LeaseAttempt.Acquired<K>(Lease<K> lease) -> proceedAsLeader(lease, requestedAtNanos);
                            case LeaseAttempt.HeldByOther<K>(long observedAt) -> follow(observedAt);
                        });
            });
        }

        private Mono<FlightCompletion<V>> proceedAsLeader(Lease<K> lease, long requestedAtNanos) {
            heldLease = Optional.of(lease);
            renewal.update(startRenewal(lease, requestedAtNanos));
            if (isFollowing) {
                listener.onTakeover();
                endWait();
            }
            return withinMaxWait(tier.snapshot(lease)).flatMap(snapshot -> snapshot.isLeaseHeld()
                    ? completeOrFill(lease, snapshot)
                    : retryAfterContradiction(() -> {
                        heldLease = Optional.empty();
                        renewal.update(Disposables.disposed());
                        return releaseLease(lease, FillNotification.STATE_CHANGED).then(lookup());
                    }));
        }

        /**
         * Handles a contradiction: one part of the tier reports a lock and the other reports none. Either the lock was released
         * or expired in between, or locks and values are on different servers. The flight never waits for such a lock, and
         * never retries in a loop without a delay.
         */
        private Mono<FlightCompletion<V>> retryAfterContradiction(Supplier<Mono<FlightCompletion<V>>> retry) {
            lockContradictions++;
            if (lockContradictions >= MAX_LOCK_CONTRADICTIONS) {
                return Mono.error(new TierUnavailableException("the locks and the values are on different servers"));
            }
            if (lockContradictions == 1) {
                return Mono.defer(retry);
            }
            Duration pause = INITIAL_RETRY_DELAY.multipliedBy(1L << (lockContradictions - 2));
            return withinMaxWait(Mono.delay(pause.plusNanos((long) (pause.toNanos() * random.nextDouble())), scheduler))
                    .flatMap(tick -> retry.get());
        }

        private Mono<FlightCompletion<V>> completeOrFill(Lease<K> lease, LeaderSnapshot<V> snapshot) {
            boolean changed = hasReadTier && snapshot.current().isPresent()
                    && !snapshot.current().map(Versioned::version).equals(knownValue.map(Versioned::version));
            knownValue = snapshot.current();
            snapshotVersion = snapshot.version();
            if (knownValue.isPresent() && request.isUsable(knownValue.get().value(), changed)) {
                FlightCompletion<V> completion = completed(knownValue.get(), changed ? Source.FOLLOWER : Source.FOUND);
                return Mono.just(
                        new FlightCompletion<>(completion.result(),
                                releaseLease(lease, FillNotification.STATE_CHANGED)));
            }
            return fill(lease, snapshot.purgePosition());
        }

        private Mono<FlightCompletion<V>> fill(Lease<K> lease, long position) {
            Mono<FillResult<K, V>> fill = Mono.defer(() -> request.fill(knownValue.map(Versioned::value), position));
            return fill
                    .onErrorResume(
                            e -> releaseLease(lease, FillNotification.NOT_SHAREABLE).then(Mono.error(e)))
                    .flatMap(result -> applyFillResult(lease, result));
        }

        /**
         * Renews the lease from its start until the flight has ended, including the write: with a slow tier or in a busy
         * process each step may take longer than a lease. A lost lease does not end the fetch; it only makes the publish
         * ineffective. No renewal waits for the reply to the previous one, which may be late although the tier is not.
         *
         * @param requestedAtNanos when the lease was requested: it started no earlier
         */
        private Disposable startRenewal(Lease<K> lease, long requestedAtNanos) {
            Duration interval = limits.leaseTtl().dividedBy(3);
            Duration first = interval.minusNanos(nanoTime() - requestedAtNanos);
            return Flux.interval(first.isNegative() ? Duration.ZERO : first, interval, renewalScheduler)
                    .onBackpressureDrop()
                    .flatMap(
                            tick -> tier.renew(lease, limits.leaseTtl())
                                    .onErrorReturn(TierUnavailableException.class, true),
                            MAX_CONCURRENT_RENEWALS)
                    .takeWhile(stillHeld -> stillHeld)
                    .subscribe(held -> {}, cause -> listener.onBackgroundError("renewal of a lease", cause));
        }

        private Mono<FlightCompletion<V>> applyFillResult(Lease<K> lease, FillResult<K, V> result) {
            return switch (result) {
                case Shared<K, V>(V value, List<Write<K, V>> writes, boolean isReusable) ->
                    publishShared(lease, value, writes, isReusable);
                case NotShareable<K, V>(List<Write<K, V>> writes) -> {
                    listener.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE);
                    yield Mono.just(new FlightCompletion<>(uncoalesced(writes), writes.isEmpty()
                            ? releaseLease(lease, FillNotification.NOT_SHAREABLE)
                            : publish(lease, writes).then()));
                }
                // The fleet gets the failure first, so that a client that retries at once starts a new flight.
                case FillFailed<K, V>(V failure) ->
                    withinLeaseTtl(tier.publishFailure(lease, failure)).thenReturn(failed(failure));
            };
        }

        /**
         * A value that is not reusable is emitted only when it is stored, or cannot be stored. A reusable value is emitted
         * earlier if the write is slow.
         */
        private Mono<FlightCompletion<V>> publishShared(Lease<K> lease, V value, List<Write<K, V>> writes,
                boolean isReusable) {
            Mono<Boolean> write = publish(lease, writes).cache();
            Mono<Boolean> settled = isReusable ? write.timeout(MAX_STORE_WAIT, Mono.just(false), scheduler) : write;
            return settled.map(stored -> new FlightCompletion<>(
                    new FlightResult.Value<>(value, lease.holder(), Source.LEADER, stored), write.then()));
        }

        /** Emits whether the values are stored. */
        private Mono<Boolean> publish(Lease<K> lease, List<Write<K, V>> writes) {
            return tier.publish(lease, snapshotVersion, writes)
                    .doOnNext(Coalescer.this::reportPublishResult)
                    .map(PublishResult.STORED::equals)
                    .timeout(request.maxWait(), Mono.defer(() -> {
                        // The values are too large for the connection to the tier. They are kept locally, or every request
                        // would fetch them again.
                        writes.forEach(tier::keepLocally);
                        listener.onReleased(CoalescerListener.ReleaseReason.OUT_OF_MEMORY);
                        return releaseLease(lease, FillNotification.NOT_SHAREABLE).thenReturn(false);
                    }), scheduler)
                    .onErrorResume(TierUnavailableException.class, e -> {
                        // Whether the values were written is unknown: this process keeps them, the other replicas will read the
                        // tier.
                        writes.forEach(tier::keepLocally);
                        return Mono.just(true);
                    });
        }

        private Mono<FlightCompletion<V>> follow(long observedAt) {
            isFollowing = true;
            // Subscribe first, then read: the subscription keeps a notification that arrives before the reply to this read.
            return Mono
                    .using(() -> tier.subscribe(request.key()), subscription -> nextStep(observedAt, subscription),
                            FillSubscription::close)
                    .flatMap(step -> step);
        }

        /**
         * One read of a follower. Emits the next step, which runs after the subscription is closed, so that subscriptions do
         * not nest.
         */
        private Mono<Mono<FlightCompletion<V>>> nextStep(long observedAt, FillSubscription subscription) {
            return withinMaxWait(tier.follow(request.key(), knownValue.map(Versioned::version), observedAt))
                    .flatMap(result -> {
                        boolean isNew = hasReadTier;
                        hasReadTier = true;
                        return switch (result) {
                            case FollowResult.Changed<V>(Versioned<V> now) -> Mono.just(onChanged(now, isNew));
                            case FollowResult.LeaderFailed<V>(V failure) ->
                                Mono.just(Mono.just(endWait(failed(failure))));
                            case FollowResult.Unlocked<V> free -> Mono.just(retryAfterContradiction(this::tryLead));
                            case FollowResult.Locked<V>(Duration remainingTtl) -> {
                                lockContradictions = 0;
                                yield awaitNotification(observedAt, subscription, remainingTtl);
                            }
                        };
                    });
        }

        private Mono<FlightCompletion<V>> onChanged(Versioned<V> now, boolean isNew) {
            knownValue = Optional.of(now);
            return request.isUsable(now.value(), isNew)
                    ? Mono.just(endWait(completed(now, isNew ? Source.FOLLOWER : Source.FOUND)))
                    : Mono.defer(this::tryLead);
        }

        private Mono<Mono<FlightCompletion<V>>> awaitNotification(long observedAt, FillSubscription subscription,
                Duration remainingTtl) {
            Mono<FlightCompletion<V>> retry = Mono.defer(() -> follow(observedAt));
            return subscription.notification()
                    .map(notification -> switch (notification) {
                        case STATE_CHANGED -> retry;
                        case NOT_SHAREABLE -> Mono.defer(this::onNotShareableRemote);
                    })
                    .timeout(nextPollDelay(remainingTtl), Mono.just(retry), scheduler);
        }

        /**
         * The delay until the next read without a notification: until the lease would expire, the poll interval, or the end of
         * the maximum wait, whichever is first.
         */
        private Duration nextPollDelay(Duration remainingTtl) {
            Duration delay = remainingTtl.compareTo(limits.pollInterval()) < 0 ? remainingTtl : limits.pollInterval();
            Duration jittered = delay.plusNanos((long) (limits.pollJitter().toNanos() * random.nextDouble()));
            Duration remaining = remainingWait();
            return jittered.compareTo(remaining) < 0
                    ? jittered
                    : remaining.isNegative() ? Duration.ZERO : remaining.plusNanos(1);
        }

        private Mono<FlightCompletion<V>> onNotShareableRemote() {
            listener.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE_REMOTE);
            return Mono.just(endWait(FlightCompletion.of(new FlightResult.Uncoalesced<V>())));
        }

        /**
         * Fills after the maximum wait. A flight that holds the lease fills for the fleet: its snapshot was late, and the older
         * purge position of this replica is safe.
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

        /**
         * Fills without a lease. Nothing is published; the value is kept locally only if no other replica could have published
         * one either.
         */
        private Mono<FlightCompletion<V>> fillWithoutLease(boolean keepLocally) {
            // The lease is released at once: no follower should wait for a flight that publishes nothing.
            renewal.update(Disposables.disposed());
            Mono<Void> release = releaseHeldLease().cache();
            // Flights reports an error of this release when the flight ends.
            release.subscribe(nothing -> {}, ignored -> {});
            return request.fill(knownValue.map(Versioned::value), purgePosition.getAsLong())
                    .map(result -> switch (result) {
                        case Shared<K, V>(V value, List<Write<K, V>> writes, boolean isReusable) -> {
                            if (keepLocally) {
                                writes.forEach(tier::keepLocally);
                            }
                            yield new FlightCompletion<>(
                                    new FlightResult.Value<>(value, "", Source.WITHOUT_LEASE, keepLocally), release);
                        }
                        case NotShareable<K, V> notShareable -> {
                            listener.onReleased(CoalescerListener.ReleaseReason.NOT_SHAREABLE);
                            yield new FlightCompletion<>(uncoalesced(notShareable.writes()), release);
                        }
                        case FillFailed<K, V>(V failure) -> new FlightCompletion<>(failed(failure).result(), release);
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

        private FlightCompletion<V> endWait(FlightCompletion<V> completion) {
            endWait();
            return completion;
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
