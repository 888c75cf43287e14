package dev.corral.coalesce;

import dev.corral.coalesce.SharedTier.FillNotification;
import dev.corral.coalesce.SharedTier.FillSubscription;
import dev.corral.coalesce.SharedTier.FollowResult;
import dev.corral.coalesce.SharedTier.LeaderSnapshot;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt;
import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.LeaseAttempt.HeldByOther;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;

/** What every shared tier keeps. Two replicas, called here and there, see the same tier. */
public abstract class SharedTierContract {

    /** Outlives a test on any machine. */
    private static final Duration LONG_TTL = Duration.ofMinutes(10);
    private static final Duration SHORT_TTL = Duration.ofMillis(120);
    /** Of what hangs; how long a busy machine takes is nothing that these tests are about. */
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    /** Doublings of {@link #SHORT_TTL} at most. */
    private static final int TRIES = 7;
    private static final AtomicInteger KEY_COUNTER = new AtomicInteger();

    private TierKey key;
    private SharedTier<TierKey, String> here;
    private SharedTier<TierKey, String> there;

    /** The view of a replica; 0 or 1. */
    protected abstract SharedTier<TierKey, String> replica(int number);

    /** Lets time pass until it is so, or fails. */
    protected abstract void eventually(BooleanSupplier fact);

    /** Moves the purge position on, and returns it. */
    protected abstract long purge();

    /** Fills the tier to its brim, or gives it room again. */
    protected abstract void setFull(boolean full);

    /** What there is of the resource in the tier besides values: leases, waits, failures. */
    protected abstract long leftovers(String resource);

    @BeforeEach
    void freshKey() {
        key = TierKey.of("contract-" + KEY_COUNTER.incrementAndGet());
        here = replica(0);
        there = replica(1);
    }

    @Test
    void publishedValueIsFoundByAllReplicas() {
        assertThat(there.find(key).blockOptional(TIMEOUT)).isEmpty();

        Lease<TierKey> lease = lead(here, LONG_TTL);
        assertThat(publish(here, lease, "a")).isEqualTo(PublishResult.STORED);

        assertThat(findValue(here)).contains("a");
        assertThat(findValue(there)).contains("a");
    }

    @Test
    void onlyOneOfConcurrentAttemptsLeads() {
        List<LeaseAttempt<TierKey>> attempts = Flux.range(0, 200)
                .flatMap(i -> (i % 2 == 0 ? here : there).tryLead(key, LONG_TTL), 200)
                .collectList()
                .blockOptional(TIMEOUT)
                .orElseThrow();

        assertThat(attempts.stream().filter(Acquired.class::isInstance)).hasSize(1);
    }

    @Test
    void attemptInsideTheCallbackOfTheWinnerLoses() {
        LeaseAttempt<TierKey> second = here.tryLead(key, LONG_TTL)
                .flatMap(first -> here.tryLead(key, LONG_TTL))
                .blockOptional(TIMEOUT)
                .orElseThrow();

        assertThat(second).isInstanceOf(HeldByOther.class);
    }

    @Test
    void keysAndSubkeysAreLedIndependently() {
        lead(here, LONG_TTL);

        assertThat(attempt(there, key.withSubkey("v:1"))).isInstanceOf(Acquired.class);
        assertThat(attempt(there, TierKey.of(key.resource() + "x"))).isInstanceOf(Acquired.class);
    }

    @Test
    void leaseExpiresUnlessRenewed() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        assertThat(renew(lease, SHORT_TTL)).isTrue();

        eventually(() -> attempt(there, key) instanceof Acquired<TierKey>);

        assertThat(renew(lease, LONG_TTL)).isFalse();
    }

    @Test
    void renewedLeaseOutlivesItsFirstTtl() {
        Duration first = SHORT_TTL;
        Lease<TierKey> lease = lead(here, first);
        // Once in time is enough: a busy machine needs a longer lease for that.
        for (int tries = 0; !renew(lease, LONG_TTL); tries++) {
            assertThat(tries).isLessThan(TRIES);
            first = first.multipliedBy(2);
            lease = lead(here, first);
        }
        TierKey other = key.withSubkey("v:other");
        assertThat(attemptFor(here, other, first)).isInstanceOf(Acquired.class);

        eventually(() -> attempt(there, other) instanceof Acquired<TierKey>);

        assertThat(attempt(there, key)).isInstanceOf(HeldByOther.class);
    }

    @Test
    void publishAfterLeaseExpiryIsFenced() {
        Lease<TierKey> lease = expiredLease();

        assertThat(publish(here, lease, "late")).isEqualTo(PublishResult.FENCED);

        assertThat(findValue(there)).isEmpty();
    }

    @Test
    void publishAfterATakeoverIsFencedAndChangesNothing() {
        Lease<TierKey> lease = expiredLease();
        Lease<TierKey> next = lead(there, LONG_TTL);

        assertThat(publish(here, lease, "late")).isEqualTo(PublishResult.FENCED);
        assertThat(publish(there, next, "next")).isEqualTo(PublishResult.STORED);
        assertThat(publish(here, lease, "later still")).isEqualTo(PublishResult.FENCED);

        assertThat(findValue(there)).contains("next");
    }

    @Test
    void repeatedPublishIsIdempotent() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        assertThat(publish(here, lease, "a")).isEqualTo(PublishResult.STORED);
        Lease<TierKey> next = lead(there, LONG_TTL);

        assertThat(publish(here, lease, "a")).isEqualTo(PublishResult.STORED);

        assertThat(renew(next, LONG_TTL)).isTrue();
        assertThat(publish(there, next, "b")).isEqualTo(PublishResult.STORED);
        assertThat(publish(here, lease, "a")).isEqualTo(PublishResult.FENCED);
        assertThat(findValue(there)).contains("b");
    }

    @Test
    void latePublishWithItsLeaseOverwritesNothing() {
        Lease<TierKey> late = lead(here, LONG_TTL);
        Optional<String> stoodOn = there.snapshot(late).blockOptional(TIMEOUT).orElseThrow().version();
        publish(there, late, "newer");

        // The lease is held once more, as by an attempt that arrives a second time; the value it stood on has been replaced.
        Lease<TierKey> again = lead(here, LONG_TTL);
        PublishResult published = here.publish(again, stoodOn, List.of(new Write<>(key, "older", LONG_TTL)))
                .blockOptional(TIMEOUT)
                .orElseThrow();

        assertThat(published).isEqualTo(PublishResult.FENCED);
        assertThat(findValue(there)).contains("newer");
        assertThat(follow(there, version(there), Long.MAX_VALUE)).as("the lease is given back")
                .isInstanceOf(FollowResult.Unlocked.class);
        assertThat(publish(there, lead(there, LONG_TTL), "newest")).isEqualTo(PublishResult.STORED);
    }

    @Test
    void valueExpiredSinceTheSnapshotDoesNotFencePublish() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        Optional<String> stoodOn = Optional.empty();
        // Once before it has lapsed is enough: a busy machine needs a longer life for that.
        for (int tries = 0; stoodOn.isEmpty(); tries++) {
            assertThat(tries).isLessThan(TRIES);
            here.publish(lease, Optional.empty(),
                    List.of(new Write<>(key, "brief", SHORT_TTL.multipliedBy(1L << tries))))
                    .block(TIMEOUT);
            lease = lead(here, LONG_TTL);
            stoodOn = here.snapshot(lease).blockOptional(TIMEOUT).orElseThrow().version();
        }
        Lease<TierKey> last = lease;
        eventually(() -> here.snapshot(last).blockOptional(TIMEOUT).orElseThrow().version().isEmpty());

        assertThat(here.publish(last, stoodOn, List.of(new Write<>(key, "next", LONG_TTL))).block(TIMEOUT))
                .isEqualTo(PublishResult.STORED);
    }

    @Test
    void allWritesOfAPublishAreStoredTogether() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        TierKey variant = key.withSubkey("v:1");

        here.publish(lease, Optional.empty(),
                List.of(new Write<>(key, "pointer", LONG_TTL), new Write<>(variant, "object", LONG_TTL)))
                .block(TIMEOUT);

        assertThat(findValue(there)).contains("pointer");
        assertThat(there.find(variant).map(Versioned::value).blockOptional(TIMEOUT)).contains("object");
    }

    @Test
    void everyPublishHasADistinctVersion() {
        publish(here, lead(here, LONG_TTL), "same");
        Optional<String> first = version(there);
        publish(there, lead(there, LONG_TTL), "same");

        assertThat(first).isPresent();
        assertThat(version(there)).isPresent().isNotEqualTo(first);
    }

    @Test
    void valueIsGoneAfterItsTtl() {
        here.publish(lead(here, LONG_TTL), Optional.empty(), List.of(new Write<>(key, "brief", SHORT_TTL)))
                .block(TIMEOUT);

        eventually(() -> findValue(there).isEmpty() && findValue(here).isEmpty());
    }

    @Test
    void leaderSnapshotHasTheValueAndTheLastPurgePosition() {
        publish(here, lead(here, LONG_TTL), "a");
        long before = purge();
        Lease<TierKey> lease = lead(there, LONG_TTL);

        LeaderSnapshot<String> ground = there.snapshot(lease).blockOptional(TIMEOUT).orElseThrow();
        long after = purge();

        assertThat(ground.current().map(Versioned::value)).contains("a");
        assertThat(ground.purgePosition()).isEqualTo(before).isLessThan(after);
    }

    @Test
    void releasedKeyIsUnlockedAndWithoutAValue() {
        Lease<TierKey> lease = lead(here, LONG_TTL);

        here.release(lease, FillNotification.STATE_CHANGED).block(TIMEOUT);

        assertThat(findValue(there)).isEmpty();
        assertThat(attempt(there, key)).isInstanceOf(Acquired.class);
    }

    @Test
    void expiredLeaseDoesNotAffectTheNextLease() {
        Lease<TierKey> lease = expiredLease();
        Lease<TierKey> next = lead(there, LONG_TTL);

        here.release(lease, FillNotification.STATE_CHANGED).block(TIMEOUT);
        here.publishFailure(lease, "late").block(TIMEOUT);
        assertThat(renew(lease, LONG_TTL)).isFalse();

        assertThat(attempt(here, key)).isInstanceOf(HeldByOther.class);
        assertThat(publish(there, next, "next")).isEqualTo(PublishResult.STORED);
    }

    @Test
    void followerSeesOnlyAChangedValue() {
        publish(here, lead(here, LONG_TTL), "a");
        Optional<String> old = version(there);
        Lease<TierKey> lease = lead(here, LONG_TTL);
        long since = lostSince(there);

        assertThat(follow(there, Optional.empty(), since)).isInstanceOf(FollowResult.Changed.class);
        assertThat(follow(there, old, since)).isInstanceOf(FollowResult.Locked.class);

        publish(here, lease, "b");

        assertThat(follow(there, old, since))
                .isEqualTo(new FollowResult.Changed<>(new Versioned<>("b", version(there).orElseThrow())));
    }

    @Test
    void followerSeesTheRemainingLeaseTime() {
        lead(here, LONG_TTL);
        long since = lostSince(there);

        FollowResult<String> sight = follow(there, Optional.empty(), since);

        assertThat(sight).isInstanceOfSatisfying(FollowResult.Locked.class,
                waiting -> assertThat(waiting.remainingTtl()).isPositive().isLessThanOrEqualTo(LONG_TTL));
    }

    @Test
    void followerFindsAReleasedKeyUnlocked() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        long since = lostSince(there);

        here.release(lease, FillNotification.STATE_CHANGED).block(TIMEOUT);

        assertThat(follow(there, Optional.empty(), since)).isEqualTo(new FollowResult.Unlocked<>());
    }

    @Test
    void failureIsSeenByWaitersAndNotByLaterFollowers() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        long since = lostSince(there);

        here.publishFailure(lease, "refused").block(TIMEOUT);

        assertThat(follow(there, Optional.empty(), since)).isEqualTo(new FollowResult.LeaderFailed<>("refused"));
        lead(here, LONG_TTL);
        assertThat(follow(there, Optional.empty(), lostSince(there))).isInstanceOf(FollowResult.Locked.class);
    }

    @Test
    void publishedValueEndsTheFailure() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        long since = lostSince(there);
        here.publishFailure(lease, "refused").block(TIMEOUT);

        publish(here, lead(here, LONG_TTL), "a");

        assertThat(follow(there, version(there), since)).isEqualTo(new FollowResult.Unlocked<>());
    }

    @Test
    void publishNotifiesWaitingReplicas() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        try (FillSubscription latch = there.subscribe(key)) {
            follow(there, Optional.empty(), lostSince(there));

            publish(here, lease, "a");

            assertThat(awaitNotification(latch)).isEqualTo(FillNotification.STATE_CHANGED);
        }
    }

    @Test
    void releaseSendsTheGivenNotification() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        try (FillSubscription latch = there.subscribe(key)) {
            follow(there, Optional.empty(), lostSince(there));

            here.release(lease, FillNotification.NOT_SHAREABLE).block(TIMEOUT);

            assertThat(awaitNotification(latch)).isEqualTo(FillNotification.NOT_SHAREABLE);
        }
    }

    @Test
    void failureNotifiesWaitingReplicas() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        try (FillSubscription latch = there.subscribe(key)) {
            follow(there, Optional.empty(), lostSince(there));

            here.publishFailure(lease, "refused").block(TIMEOUT);

            assertThat(awaitNotification(latch)).isEqualTo(FillNotification.STATE_CHANGED);
        }
    }

    @Test
    void subscriptionOpenedBeforeTheReadMissesNothing() {
        for (int round = 0; round < 50; round++) {
            Lease<TierKey> lease = lead(here, LONG_TTL);
            long since = lostSince(there);
            Optional<String> seen = version(there);
            try (FillSubscription latch = there.subscribe(key)) {
                var value = "value " + round;
                Mono<FollowResult<String>> look = there.follow(key, seen, since);
                FollowResult<String> sight = Mono
                        .zip(look, here.publish(lease, seen, List.of(new Write<>(key, value, LONG_TTL))))
                        .blockOptional(TIMEOUT)
                        .orElseThrow()
                        .getT1();

                // Either the look came after the publish and saw it, or it came before and the ring follows.
                if (sight instanceof FollowResult.Locked<String>) {
                    assertThat(awaitNotification(latch)).isEqualTo(FillNotification.STATE_CHANGED);
                } else {
                    assertThat(sight).isInstanceOf(FollowResult.Changed.class);
                }
            }
        }
    }

    @Test
    void waiterRegistrationEndsWithItsFlight() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        try (FillSubscription latch = there.subscribe(key)) {
            follow(there, Optional.empty(), lostSince(there));
            publish(here, lease, "a");
            assertThat(awaitNotification(latch)).isEqualTo(FillNotification.STATE_CHANGED);
        }

        assertThat(leftovers(key.resource())).isZero();
    }

    @Test
    void fullTierStoresNothingAndDismissesWaiters() {
        Lease<TierKey> lease = lead(here, LONG_TTL);
        try (FillSubscription latch = there.subscribe(key)) {
            follow(there, Optional.empty(), lostSince(there));
            setFull(true);

            assertThat(publish(here, lease, "a".repeat(10_000))).isEqualTo(PublishResult.OUT_OF_MEMORY);

            assertThat(awaitNotification(latch)).isEqualTo(FillNotification.NOT_SHAREABLE);
            assertThat(findValue(there)).isEmpty();
        } finally {
            setFull(false);
        }
        assertThat(attempt(there, key)).isInstanceOf(Acquired.class);
    }

    @Test
    void fullTierStillReleasesLeases() {
        TierKey other = key.withSubkey("v:1");
        Lease<TierKey> released = lead(here, LONG_TTL);
        Lease<TierKey> failed = ((Acquired<TierKey>) attempt(here, other)).lease();
        try (FillSubscription latch = there.subscribe(key); FillSubscription otherLatch = there.subscribe(other)) {
            follow(there, Optional.empty(), lostSince(there));
            there.follow(other, Optional.empty(), lostSince(there)).block(TIMEOUT);
            setFull(true);

            here.release(released, FillNotification.NOT_SHAREABLE).block(TIMEOUT);
            here.publishFailure(failed, "refused").block(TIMEOUT);

            assertThat(awaitNotification(latch)).isEqualTo(FillNotification.NOT_SHAREABLE);
            assertThat(awaitNotification(otherLatch)).isEqualTo(FillNotification.STATE_CHANGED);
        } finally {
            setFull(false);
        }
        assertThat(attempt(there, key)).isInstanceOf(Acquired.class);
        assertThat(attempt(there, other)).isInstanceOf(Acquired.class);
    }

    @Test
    void manyFlightsLeaveOnlyTheirValuesBehind() {
        Flux.range(0, 200)
                .flatMap(i -> fillWithFollower(key.withSubkey("v:" + i), i), 16)
                .then()
                .block(TIMEOUT);

        assertThat(leftovers(key.resource())).isZero();
    }

    /** A counter nobody guards but the lease: each worker reads it, adds one and publishes. */
    @Test
    void concurrentUpdatesAreNotLost() {
        int workers = 8;
        int rounds = 25;

        List<Integer> stored = Flux.range(0, workers)
                .flatMap(
                        worker -> incrementRepeatedly(worker % 2 == 0 ? here : there, rounds)
                                .subscribeOn(Schedulers.parallel()),
                        workers)
                .collectList()
                .blockOptional(TIMEOUT)
                .orElseThrow();

        assertThat(stored).hasSize(workers).allMatch(one -> one == rounds);
        // As a leader sees it: a look may be answered from a memory that is a moment old.
        Lease<TierKey> lease = ((Acquired<TierKey>) attempt(here, key)).lease();
        Optional<Versioned<String>> last = here.snapshot(lease).blockOptional(TIMEOUT).orElseThrow().current();
        assertThat(last.map(Versioned::value)).contains(Integer.toString(workers * rounds));
    }

    private Mono<Integer> incrementRepeatedly(SharedTier<TierKey, String> tier, int rounds) {
        Mono<Boolean> once = tier.tryLead(key, LONG_TTL).flatMap(attempt -> switch (attempt) {
            case Acquired<TierKey>(Lease<TierKey> lease) ->
                tier.snapshot(lease).flatMap(ground -> increment(tier, lease, ground));
            case HeldByOther<TierKey> lost -> Mono.just(false);
        });
        return once.repeat().filter(stored -> stored).take(rounds).count().map(Long::intValue);
    }

    private Mono<Boolean> increment(SharedTier<TierKey, String> tier, Lease<TierKey> lease,
            LeaderSnapshot<String> ground) {
        int next = ground.current().map(Versioned::value).map(Integer::parseInt).orElse(0) + 1;
        return tier.publish(lease, ground.version(), List.of(new Write<>(key, Integer.toString(next), LONG_TTL)))
                .map(published -> published == PublishResult.STORED);
    }

    /** A fill with a follower, ended in each of the ways there are. */
    private Mono<?> fillWithFollower(TierKey one, int number) {
        return here.tryLead(one, LONG_TTL).cast(Acquired.class).flatMap(led -> {
            @SuppressWarnings("unchecked")
            Lease<TierKey> lease = ((Acquired<TierKey>) led).lease();
            Mono<?> end = number % 2 == 0
                    ? here.publish(lease, Optional.empty(), List.of(new Write<>(one, "value", LONG_TTL)))
                    : here.release(lease, FillNotification.STATE_CHANGED);
            return there.tryLead(one, LONG_TTL)
                    .cast(HeldByOther.class)
                    .flatMap(lost -> there.follow(one, Optional.empty(), lost.observedAt()))
                    .then(end);
        });
    }

    private Lease<TierKey> expiredLease() {
        Lease<TierKey> lease = lead(here, SHORT_TTL);
        eventually(() -> follow(there, version(there), Long.MAX_VALUE) instanceof FollowResult.Unlocked<String>);
        return lease;
    }

    private Lease<TierKey> lead(SharedTier<TierKey, String> tier, Duration ttl) {
        return ((Acquired<TierKey>) attemptFor(tier, key, ttl)).lease();
    }

    private long lostSince(SharedTier<TierKey, String> tier) {
        return ((HeldByOther<TierKey>) attempt(tier, key)).observedAt();
    }

    private static LeaseAttempt<TierKey> attempt(SharedTier<TierKey, String> tier, TierKey key) {
        return attemptFor(tier, key, LONG_TTL);
    }

    private static LeaseAttempt<TierKey> attemptFor(SharedTier<TierKey, String> tier, TierKey key, Duration ttl) {
        return tier.tryLead(key, ttl).blockOptional(TIMEOUT).orElseThrow();
    }

    private boolean renew(Lease<TierKey> lease, Duration ttl) {
        return here.renew(lease, ttl).blockOptional(TIMEOUT).orElseThrow();
    }

    private PublishResult publish(SharedTier<TierKey, String> tier, Lease<TierKey> lease, String value) {
        Optional<String> stoodOn = tier.snapshot(lease).blockOptional(TIMEOUT).orElseThrow().version();
        return tier.publish(lease, stoodOn, List.of(new Write<>(key, value, LONG_TTL)))
                .blockOptional(TIMEOUT)
                .orElseThrow();
    }

    private Optional<String> findValue(SharedTier<TierKey, String> tier) {
        return tier.find(key).map(Versioned::value).blockOptional(TIMEOUT);
    }

    private Optional<String> version(SharedTier<TierKey, String> tier) {
        return tier.find(key).map(Versioned::version).blockOptional(TIMEOUT);
    }

    private FollowResult<String> follow(SharedTier<TierKey, String> tier, Optional<String> version, long since) {
        return tier.follow(key, version, since).blockOptional(TIMEOUT).orElseThrow();
    }

    private FillNotification awaitNotification(FillSubscription latch) {
        var rings = latch.notification().toFuture();
        eventually(rings::isDone);
        return rings.join();
    }
}
