package dev.corral.coalesce;

import dev.corral.coalesce.SharedTier.Attempt;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Attempt.Lost;
import dev.corral.coalesce.SharedTier.Ground;
import dev.corral.coalesce.SharedTier.Latch;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Ring;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Sight;
import dev.corral.coalesce.SharedTier.Write;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;

/** What every shared tier keeps. Two replicas, called here and there, see the same tier. */
@Timeout(60)
public abstract class SharedTierContract {

    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration SHORT = Duration.ofMillis(120);
    private static final Duration BOUND = Duration.ofSeconds(10);
    private static final AtomicInteger KEYS = new AtomicInteger();

    private Key key;
    private SharedTier<Key, String> here;
    private SharedTier<Key, String> there;

    /** The view of a replica; 0 or 1. */
    protected abstract SharedTier<Key, String> replica(int number);

    /** Lets time pass until it is so, or fails. */
    protected abstract void eventually(BooleanSupplier fact);

    /** Moves the purge position on, and returns it. */
    protected abstract long purge();

    /** Fills the tier to its brim, or gives it room again. */
    protected abstract void full(boolean full);

    /** What there is of the resource in the tier besides values: leases, waits, failures. */
    protected abstract long leftovers(String resource);

    @BeforeEach
    void freshKey() {
        key = Key.of("contract-" + KEYS.incrementAndGet());
        here = replica(0);
        there = replica(1);
    }

    @Test
    void whatIsPublishedIsFoundByAllReplicas() {
        assertThat(there.find(key).blockOptional(BOUND)).isEmpty();

        Lease<Key> lease = lead(here, LONG);
        assertThat(publish(here, lease, "a")).isEqualTo(Published.STORED);

        assertThat(found(here)).contains("a");
        assertThat(found(there)).contains("a");
    }

    @Test
    void oneOfManyLeadsWhateverReplicaAndThread() {
        List<Attempt<Key>> attempts = Flux.range(0, 200)
                .flatMap(i -> (i % 2 == 0 ? here : there).tryLead(key, LONG), 200)
                .collectList()
                .blockOptional(BOUND)
                .orElseThrow();

        assertThat(attempts.stream().filter(Led.class::isInstance)).hasSize(1);
    }

    @Test
    void anAttemptFromWithinTheCallbackOfTheOneThatWonLoses() {
        Attempt<Key> second = here.tryLead(key, LONG)
                .flatMap(first -> here.tryLead(key, LONG))
                .blockOptional(BOUND)
                .orElseThrow();

        assertThat(second).isInstanceOf(Lost.class);
    }

    @Test
    void keysAndLanesOfAKeyAreLedEachByItself() {
        lead(here, LONG);

        assertThat(attempt(there, key.lane("v:1"))).isInstanceOf(Led.class);
        assertThat(attempt(there, Key.of(key.resource() + "x"))).isInstanceOf(Led.class);
    }

    @Test
    void aLeaseLapsesUnlessRenewed() {
        Lease<Key> lease = lead(here, LONG);
        assertThat(renewed(lease, SHORT)).isTrue();

        eventually(() -> attempt(there, key) instanceof Led<Key>);

        assertThat(renewed(lease, LONG)).isFalse();
    }

    @Test
    void aRenewedLeaseOutlivesItsFirstEnd() {
        Lease<Key> renewed = lead(here, SHORT);
        assertThat(renewed(renewed, LONG)).isTrue();
        Key other = key.lane("v:other");
        assertThat(attemptFor(here, other, SHORT)).isInstanceOf(Led.class);

        eventually(() -> attempt(there, other) instanceof Led<Key>);

        assertThat(attempt(there, key)).isInstanceOf(Lost.class);
    }

    @Test
    void aPublishAfterTheLeaseHasLapsedIsFenced() {
        Lease<Key> lease = lapsed();

        assertThat(publish(here, lease, "late")).isEqualTo(Published.FENCED);

        assertThat(found(there)).isEmpty();
    }

    @Test
    void aPublishAfterATakeOverIsFencedAndChangesNothing() {
        Lease<Key> lease = lapsed();
        Lease<Key> next = lead(there, LONG);

        assertThat(publish(here, lease, "late")).isEqualTo(Published.FENCED);
        assertThat(publish(there, next, "next")).isEqualTo(Published.STORED);
        assertThat(publish(here, lease, "later still")).isEqualTo(Published.FENCED);

        assertThat(found(there)).contains("next");
    }

    @Test
    void aRepeatedPublishIsHarmless() {
        Lease<Key> lease = lead(here, LONG);
        assertThat(publish(here, lease, "a")).isEqualTo(Published.STORED);
        Lease<Key> next = lead(there, LONG);

        assertThat(publish(here, lease, "a")).isEqualTo(Published.STORED);

        assertThat(renewed(next, LONG)).isTrue();
        assertThat(publish(there, next, "b")).isEqualTo(Published.STORED);
        assertThat(publish(here, lease, "a")).isEqualTo(Published.FENCED);
        assertThat(found(there)).contains("b");
    }

    @Test
    void aPublishThatComesLateWithItsLeaseOverwritesNothing() {
        Lease<Key> late = lead(here, LONG);
        Optional<String> stoodOn = there.stand(late).blockOptional(BOUND).orElseThrow().version();
        publish(there, late, "newer");

        // The lease is held once more, as by an attempt that arrives a second time; the value it stood on has been replaced.
        Lease<Key> again = lead(here, LONG);
        Published published = here.publish(again, stoodOn, List.of(new Write<>(key, "older", LONG)))
                .blockOptional(BOUND)
                .orElseThrow();

        assertThat(published).isEqualTo(Published.FENCED);
        assertThat(found(there)).contains("newer");
        assertThat(follow(there, version(there), Long.MAX_VALUE)).as("the lease is given back")
                .isInstanceOf(Sight.Free.class);
        assertThat(publish(there, lead(there, LONG), "newest")).isEqualTo(Published.STORED);
    }

    @Test
    void whatHasLapsedSinceTheLeaderStoodOnItDoesNotMatter() {
        here.publish(lead(here, LONG), Optional.empty(), List.of(new Write<>(key, "brief", SHORT))).block(BOUND);
        Lease<Key> lease = lead(here, LONG);
        Optional<String> stoodOn = here.stand(lease).blockOptional(BOUND).orElseThrow().version();
        eventually(() -> here.stand(lease).blockOptional(BOUND).orElseThrow().version().isEmpty());

        assertThat(here.publish(lease, stoodOn, List.of(new Write<>(key, "next", LONG))).block(BOUND))
                .isEqualTo(Published.STORED);
    }

    @Test
    void allWritesOfAPublishAreStoredTogether() {
        Lease<Key> lease = lead(here, LONG);
        Key variant = key.lane("v:1");

        here.publish(lease, Optional.empty(),
                List.of(new Write<>(key, "pointer", LONG), new Write<>(variant, "object", LONG)))
                .block(BOUND);

        assertThat(found(there)).contains("pointer");
        assertThat(there.find(variant).map(Seen::value).blockOptional(BOUND)).contains("object");
    }

    @Test
    void eachWriteHasAVersionOfItsOwn() {
        publish(here, lead(here, LONG), "same");
        Optional<String> first = version(there);
        publish(there, lead(there, LONG), "same");

        assertThat(first).isPresent();
        assertThat(version(there)).isPresent().isNotEqualTo(first);
    }

    @Test
    void aValueIsGoneAfterItsLife() {
        here.publish(lead(here, LONG), Optional.empty(), List.of(new Write<>(key, "brief", SHORT))).block(BOUND);

        eventually(() -> found(there).isEmpty() && found(here).isEmpty());
    }

    @Test
    void theLeaderStandsOnTheValueAndTheLastPurge() {
        publish(here, lead(here, LONG), "a");
        long before = purge();
        Lease<Key> lease = lead(there, LONG);

        Ground<String> ground = there.stand(lease).blockOptional(BOUND).orElseThrow();
        long after = purge();

        assertThat(ground.seen().map(Seen::value)).contains("a");
        assertThat(ground.position()).isEqualTo(before).isLessThan(after);
    }

    @Test
    void aReleasedKeyIsFreeAndWithoutAValue() {
        Lease<Key> lease = lead(here, LONG);

        here.release(lease, Ring.LANDED).block(BOUND);

        assertThat(found(there)).isEmpty();
        assertThat(attempt(there, key)).isInstanceOf(Led.class);
    }

    @Test
    void nothingAForfeitedLeaseDoesTouchesTheNextOne() {
        Lease<Key> lease = lapsed();
        Lease<Key> next = lead(there, LONG);

        here.release(lease, Ring.LANDED).block(BOUND);
        here.fail(lease, "late").block(BOUND);
        assertThat(renewed(lease, LONG)).isFalse();

        assertThat(attempt(here, key)).isInstanceOf(Lost.class);
        assertThat(publish(there, next, "next")).isEqualTo(Published.STORED);
    }

    @Test
    void aFollowerSeesWhatHasChangedAndOnlyThat() {
        publish(here, lead(here, LONG), "a");
        Optional<String> old = version(there);
        Lease<Key> lease = lead(here, LONG);
        long since = lost(there);

        assertThat(follow(there, Optional.empty(), since)).isInstanceOf(Sight.Changed.class);
        assertThat(follow(there, old, since)).isInstanceOf(Sight.Waiting.class);

        publish(here, lease, "b");

        assertThat(follow(there, old, since))
                .isEqualTo(new Sight.Changed<>(new Seen<>("b", version(there).orElseThrow())));
    }

    @Test
    void aFollowerLearnsHowLongTheLeaseMayLast() {
        lead(here, LONG);
        long since = lost(there);

        Sight<String> sight = follow(there, Optional.empty(), since);

        assertThat(sight).isInstanceOfSatisfying(Sight.Waiting.class,
                waiting -> assertThat(waiting.left()).isPositive().isLessThanOrEqualTo(LONG));
    }

    @Test
    void aFollowerFindsAnAbandonedKeyFree() {
        Lease<Key> lease = lead(here, LONG);
        long since = lost(there);

        here.release(lease, Ring.LANDED).block(BOUND);

        assertThat(follow(there, Optional.empty(), since)).isEqualTo(new Sight.Free<>());
    }

    @Test
    void aFailureIsToldToThoseWhoWaitedAndToNobodyLater() {
        Lease<Key> lease = lead(here, LONG);
        long since = lost(there);

        here.fail(lease, "refused").block(BOUND);

        assertThat(follow(there, Optional.empty(), since)).isEqualTo(new Sight.Failed<>("refused"));
        lead(here, LONG);
        assertThat(follow(there, Optional.empty(), lost(there))).isInstanceOf(Sight.Waiting.class);
    }

    @Test
    void aValueEndsTheFailure() {
        Lease<Key> lease = lead(here, LONG);
        long since = lost(there);
        here.fail(lease, "refused").block(BOUND);

        publish(here, lead(here, LONG), "a");

        assertThat(follow(there, version(there), since)).isEqualTo(new Sight.Free<>());
    }

    @Test
    void publishRingsTheReplicasThatWait() {
        Lease<Key> lease = lead(here, LONG);
        try (Latch latch = there.listen(key)) {
            follow(there, Optional.empty(), lost(there));

            publish(here, lease, "a");

            assertThat(rung(latch)).isEqualTo(Ring.LANDED);
        }
    }

    @Test
    void releaseRingsAsItIsTold() {
        Lease<Key> lease = lead(here, LONG);
        try (Latch latch = there.listen(key)) {
            follow(there, Optional.empty(), lost(there));

            here.release(lease, Ring.DISMISSED).block(BOUND);

            assertThat(rung(latch)).isEqualTo(Ring.DISMISSED);
        }
    }

    @Test
    void failureRings() {
        Lease<Key> lease = lead(here, LONG);
        try (Latch latch = there.listen(key)) {
            follow(there, Optional.empty(), lost(there));

            here.fail(lease, "refused").block(BOUND);

            assertThat(rung(latch)).isEqualTo(Ring.LANDED);
        }
    }

    @Test
    void aLatchOpenedBeforeTheLookMissesNothing() {
        for (int round = 0; round < 50; round++) {
            Lease<Key> lease = lead(here, LONG);
            long since = lost(there);
            Optional<String> seen = version(there);
            try (Latch latch = there.listen(key)) {
                var value = "value " + round;
                Mono<Sight<String>> look = there.follow(key, seen, since);
                Sight<String> sight = Mono.zip(look, here.publish(lease, seen, List.of(new Write<>(key, value, LONG))))
                        .blockOptional(BOUND)
                        .orElseThrow()
                        .getT1();

                // Either the look came after the publish and saw it, or it came before and the ring follows.
                if (sight instanceof Sight.Waiting<String>) {
                    assertThat(rung(latch)).isEqualTo(Ring.LANDED);
                } else {
                    assertThat(sight).isInstanceOf(Sight.Changed.class);
                }
            }
        }
    }

    @Test
    void theRegistrationOfOneFlightDoesNotRingTheNext() {
        Lease<Key> lease = lead(here, LONG);
        try (Latch latch = there.listen(key)) {
            follow(there, Optional.empty(), lost(there));
            publish(here, lease, "a");
            assertThat(rung(latch)).isEqualTo(Ring.LANDED);
        }

        assertThat(leftovers(key.resource())).isZero();
    }

    @Test
    void aFullTierStoresNothingAndDismissesThoseWhoWait() {
        Lease<Key> lease = lead(here, LONG);
        try (Latch latch = there.listen(key)) {
            follow(there, Optional.empty(), lost(there));
            full(true);

            assertThat(publish(here, lease, "a".repeat(10_000))).isEqualTo(Published.FULL);

            assertThat(rung(latch)).isEqualTo(Ring.DISMISSED);
            assertThat(found(there)).isEmpty();
        } finally {
            full(false);
        }
        assertThat(attempt(there, key)).isInstanceOf(Led.class);
    }

    @Test
    void aFullTierStillTakesLeasesBack() {
        Key other = key.lane("v:1");
        Lease<Key> released = lead(here, LONG);
        Lease<Key> failed = ((Led<Key>) attempt(here, other)).lease();
        try (Latch latch = there.listen(key); Latch otherLatch = there.listen(other)) {
            follow(there, Optional.empty(), lost(there));
            there.follow(other, Optional.empty(), lost(there)).block(BOUND);
            full(true);

            here.release(released, Ring.DISMISSED).block(BOUND);
            here.fail(failed, "refused").block(BOUND);

            assertThat(rung(latch)).isEqualTo(Ring.DISMISSED);
            assertThat(rung(otherLatch)).isEqualTo(Ring.LANDED);
        } finally {
            full(false);
        }
        assertThat(attempt(there, key)).isInstanceOf(Led.class);
        assertThat(attempt(there, other)).isInstanceOf(Led.class);
    }

    @Test
    void manyFlightsLeaveNothingBehindButTheirValues() {
        Flux.range(0, 200)
                .flatMap(i -> flight(key.lane("v:" + i), i), 16)
                .then()
                .block(BOUND);

        assertThat(leftovers(key.resource())).isZero();
    }

    /** A counter nobody guards but the lease: each worker reads it, adds one and publishes. */
    @Test
    void noUpdateIsLost() {
        int workers = 8;
        int rounds = 25;

        List<Integer> stored = Flux.range(0, workers)
                .flatMap(worker -> count(worker % 2 == 0 ? here : there, rounds).subscribeOn(Schedulers.parallel()),
                        workers)
                .collectList()
                .blockOptional(BOUND)
                .orElseThrow();

        assertThat(stored).hasSize(workers).allMatch(one -> one == rounds);
        // As a leader sees it: a look may be answered from a memory that is a moment old.
        Lease<Key> lease = ((Led<Key>) attempt(here, key)).lease();
        Optional<Seen<String>> last = here.stand(lease).blockOptional(BOUND).orElseThrow().seen();
        assertThat(last.map(Seen::value)).contains(Integer.toString(workers * rounds));
    }

    private Mono<Integer> count(SharedTier<Key, String> tier, int rounds) {
        Mono<Boolean> once = tier.tryLead(key, LONG).flatMap(attempt -> switch (attempt) {
            case Led<Key>(Lease<Key> lease) -> tier.stand(lease).flatMap(ground -> increment(tier, lease, ground));
            case Lost<Key> lost -> Mono.just(false);
        });
        return once.repeat().filter(stored -> stored).take(rounds).count().map(Long::intValue);
    }

    private Mono<Boolean> increment(SharedTier<Key, String> tier, Lease<Key> lease, Ground<String> ground) {
        int next = ground.seen().map(Seen::value).map(Integer::parseInt).orElse(0) + 1;
        return tier.publish(lease, ground.version(), List.of(new Write<>(key, Integer.toString(next), LONG)))
                .map(published -> published == Published.STORED);
    }

    /** A fill with a follower, ended in each of the ways there are. */
    private Mono<?> flight(Key one, int number) {
        return here.tryLead(one, LONG).cast(Led.class).flatMap(led -> {
            @SuppressWarnings("unchecked")
            Lease<Key> lease = ((Led<Key>) led).lease();
            Mono<?> end = number % 2 == 0
                    ? here.publish(lease, Optional.empty(), List.of(new Write<>(one, "value", LONG)))
                    : here.release(lease, Ring.LANDED);
            return there.tryLead(one, LONG)
                    .cast(Lost.class)
                    .flatMap(lost -> there.follow(one, Optional.empty(), lost.since()))
                    .then(end);
        });
    }

    private Lease<Key> lapsed() {
        Lease<Key> lease = lead(here, SHORT);
        eventually(() -> follow(there, version(there), Long.MAX_VALUE) instanceof Sight.Free<String>);
        return lease;
    }

    private Lease<Key> lead(SharedTier<Key, String> tier, Duration ttl) {
        return ((Led<Key>) attemptFor(tier, key, ttl)).lease();
    }

    private long lost(SharedTier<Key, String> tier) {
        return ((Lost<Key>) attempt(tier, key)).since();
    }

    private static Attempt<Key> attempt(SharedTier<Key, String> tier, Key key) {
        return attemptFor(tier, key, LONG);
    }

    private static Attempt<Key> attemptFor(SharedTier<Key, String> tier, Key key, Duration ttl) {
        return tier.tryLead(key, ttl).blockOptional(BOUND).orElseThrow();
    }

    private boolean renewed(Lease<Key> lease, Duration ttl) {
        return here.renew(lease, ttl).blockOptional(BOUND).orElseThrow();
    }

    private Published publish(SharedTier<Key, String> tier, Lease<Key> lease, String value) {
        Optional<String> stoodOn = tier.stand(lease).blockOptional(BOUND).orElseThrow().version();
        return tier.publish(lease, stoodOn, List.of(new Write<>(key, value, LONG))).blockOptional(BOUND).orElseThrow();
    }

    private Optional<String> found(SharedTier<Key, String> tier) {
        return tier.find(key).map(Seen::value).blockOptional(BOUND);
    }

    private Optional<String> version(SharedTier<Key, String> tier) {
        return tier.find(key).map(Seen::version).blockOptional(BOUND);
    }

    private Sight<String> follow(SharedTier<Key, String> tier, Optional<String> version, long since) {
        return tier.follow(key, version, since).blockOptional(BOUND).orElseThrow();
    }

    private Ring rung(Latch latch) {
        var rings = latch.rung().toFuture();
        eventually(rings::isDone);
        return rings.join();
    }
}
