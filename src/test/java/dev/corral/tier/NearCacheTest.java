package dev.corral.tier;

import dev.corral.coalesce.InMemoryTier;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.SharedTier.Attempt.Led;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.SharedTierContract;
import dev.corral.coalesce.TierUnavailable;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.test.scheduler.VirtualTimeScheduler;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

/** Two replicas with a near cache each, over one tier in memory. */
class NearCacheTest extends SharedTierContract {

    private static final Key KEY = Key.of("near");
    private static final Duration RECENCY = Duration.ofSeconds(1);
    private static final Duration LIFE = Duration.ofMinutes(1);

    private final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    private final InMemoryTier.Store<Key, String> store = new InMemoryTier.Store<>(time);
    private final InMemoryTier<Key, String> bare = store.replica("bare");
    private boolean current = true;
    private long position;
    private final List<NearCache<String>> replicas = List.of(near("a"), near("b"));
    private final NearCache<String> near = replicas.getFirst();

    @Test
    void itAnswersFromMemoryWhileRecentAndThenAsks() {
        publish(bare, "a");
        assertThat(find()).isEqualTo("a");
        publish(bare, "b");

        assertThat(find()).isEqualTo("a");
        assertThat(near.peek(KEY)).contains("a");
        time.advanceTimeBy(RECENCY);

        assertThat(near.peek(KEY)).isEmpty();
        assertThat(find()).isEqualTo("b");
        assertThat(near.peek(KEY)).contains("b");
    }

    @Test
    void itAsksWhenThePurgesAreNotCurrent() {
        publish(bare, "a");
        find();
        publish(bare, "b");

        current = false;

        assertThat(near.peek(KEY)).isEmpty();
        assertThat(find()).isEqualTo("b");
    }

    @Test
    void itAnswersForATierThatIsAwayAsLongAsTheValueLives() {
        publish(bare, "a");
        find();
        store.available(false);
        current = false;
        time.advanceTimeBy(LIFE.minusMillis(1));

        assertThat(find()).isEqualTo("a");
        time.advanceTimeBy(Duration.ofMillis(1));

        assertThatThrownBy(this::find).isInstanceOf(TierUnavailable.class);
    }

    @Test
    void itRemembersWhatItPublishes() {
        publish(near, "a");
        store.available(false);

        assertThat(near.peek(KEY)).contains("a");
        assertThat(near.find(KEY).map(Seen::version).blockOptional()).isPresent();
    }

    /** Or what was in the tier before somebody came would be taken for what has come while he waited. */
    @Test
    void whatItAnswersItselfSaysSo() {
        publish(bare, "found");
        assertThat(near.find(KEY).map(Seen::remembered).block()).isFalse();
        assertThat(near.find(KEY).map(Seen::remembered).block()).isTrue();

        publish(near, "published");
        assertThat(near.find(KEY).map(Seen::remembered).block()).isTrue();

        time.advanceTimeBy(RECENCY);
        assertThat(near.find(KEY).map(Seen::remembered).block()).isFalse();
        store.available(false);
        time.advanceTimeBy(RECENCY);
        assertThat(near.find(KEY).map(Seen::remembered).block()).isTrue();
    }

    @Test
    void itDoesNotRememberWhatTheTierRefused() {
        Lease<Key> lapsed = lease(near);
        store.lapse(KEY);
        assertThat(publish(near, lapsed, "fenced")).isEqualTo(Published.FENCED);
        Lease<Key> lease = lease(near);
        store.full(true);
        assertThat(publish(near, lease, "full")).isEqualTo(Published.FULL);

        assertThat(near.peek(KEY)).isEmpty();
    }

    @Test
    void itRemembersWhatAFollowerAndALeaderSee() {
        lease(bare);
        near.follow(KEY, java.util.Optional.empty(), 0).block();
        store.lapse(KEY);
        publish(bare, "a");
        near.follow(KEY, java.util.Optional.empty(), 0).block();
        assertThat(near.peek(KEY)).contains("a");

        publish(bare, "b");
        near.stand(lease(near)).block();

        assertThat(near.peek(KEY)).contains("b");
    }

    @Test
    void itForgetsWhatTheTierNoLongerHas() {
        publish(bare, "a");
        find();
        store.lose();
        time.advanceTimeBy(RECENCY);

        assertThat(near.find(KEY).blockOptional()).isEmpty();
        store.available(false);

        assertThatThrownBy(this::find).isInstanceOf(TierUnavailable.class);
    }

    @Test
    void aLookThatWasSentBeforeAPublishDoesNotUndoIt() {
        publish(bare, "old");
        Mono<Seen<String>> slow = bare.find(KEY).delayElement(Duration.ofMillis(10), time);
        NearCache<String> replica = near(new Slow(bare, slow));
        var look = replica.find(KEY).toFuture();
        time.advanceTimeBy(Duration.ofMillis(5));
        publish(replica, "new");

        time.advanceTimeBy(Duration.ofMillis(5));

        assertThat(look.join().value()).isEqualTo("old");
        assertThat(replica.peek(KEY)).contains("new");
    }

    @Test
    void itKeepsWhatCouldNotBePublished() {
        near.keep(new Write<>(KEY, "a", LIFE));
        store.available(false);

        assertThat(find()).isEqualTo("a");
        near.keep(new Write<>(KEY, "b", LIFE));

        assertThat(near.peek(KEY)).contains("b");
    }

    @Test
    void whatHasNoLifeLeftIsNotKept() {
        near.keep(new Write<>(KEY, "a", LIFE));
        near.keep(new Write<>(KEY, "b", Duration.ZERO));

        assertThat(near.peek(KEY)).isEmpty();
    }

    @Test
    void itIsBoundedInBytes() {
        for (int i = 0; i < 1_000; i++) {
            near.keep(new Write<>(KEY.lane("v:" + i), "x".repeat(100), LIFE));
        }

        assertThat(near.weight()).isLessThanOrEqualTo(10_000);
        assertThat(near.size()).isBetween(50L, 100L);
    }

    @Override
    protected SharedTier<Key, String> replica(int number) {
        return replicas.get(number);
    }

    @Override
    protected void eventually(BooleanSupplier fact) {
        for (int step = 0; step < 1_000; step++) {
            if (fact.getAsBoolean()) {
                return;
            }
            time.advanceTimeBy(Duration.ofMillis(10));
        }
        fail("not within ten seconds of virtual time");
    }

    @Override
    protected long purge() {
        store.position(++position);
        return position;
    }

    @Override
    protected void full(boolean full) {
        store.full(full);
    }

    @Override
    protected long leftovers(String resource) {
        return store.leftovers(key -> key.resource().equals(resource));
    }

    private NearCache<String> near(String name) {
        return near(store.replica(name));
    }

    private NearCache<String> near(SharedTier<Key, String> tier) {
        var purges = new Purges() {
            @Override
            public long position() {
                return position;
            }

            @Override
            public boolean current() {
                return current;
            }

            @Override
            public long complete() {
                return position;
            }

            @Override
            public Verdict verdict(List<String> names, long since) {
                return Verdict.VALID;
            }

            @Override
            public Mono<Purged> purge(Purge purge) {
                return Mono.just(new Purged(++position, Flux.empty()));
            }
        };
        return new NearCache<>(tier, purges, 10_000, String::length, value -> LIFE, RECENCY, value -> RECENCY,
                () -> time.now(TimeUnit.NANOSECONDS));
    }

    private String find() {
        return near.find(KEY).blockOptional().orElseThrow().value();
    }

    private static Lease<Key> lease(SharedTier<Key, String> tier) {
        return ((Led<Key>) tier.tryLead(KEY, LIFE).blockOptional().orElseThrow()).lease();
    }

    private static void publish(SharedTier<Key, String> tier, String value) {
        assertThat(publish(tier, lease(tier), value)).isEqualTo(Published.STORED);
    }

    private static Published publish(SharedTier<Key, String> tier, Lease<Key> lease, String value) {
        Optional<String> stoodOn = tier.stand(lease).blockOptional().orElseThrow().version();
        return tier.publish(lease, stoodOn, List.of(new Write<>(KEY, value, LIFE))).blockOptional().orElseThrow();
    }

    /** A tier whose looks take their time. */
    private record Slow(SharedTier<Key, String> tier, Mono<Seen<String>> look) implements SharedTier<Key, String> {

        @Override
        public Mono<Seen<String>> find(Key key) {
            return look;
        }

        @Override
        public Mono<Attempt<Key>> tryLead(Key key, Duration ttl) {
            return tier.tryLead(key, ttl);
        }

        @Override
        public Mono<Ground<String>> stand(Lease<Key> lease) {
            return tier.stand(lease);
        }

        @Override
        public Mono<Boolean> renew(Lease<Key> lease, Duration ttl) {
            return tier.renew(lease, ttl);
        }

        @Override
        public Mono<Published> publish(Lease<Key> lease, Optional<String> stoodOn, List<Write<Key, String>> writes) {
            return tier.publish(lease, stoodOn, writes);
        }

        @Override
        public Mono<Void> release(Lease<Key> lease, Ring ring) {
            return tier.release(lease, ring);
        }

        @Override
        public Mono<Void> fail(Lease<Key> lease, String failure) {
            return tier.fail(lease, failure);
        }

        @Override
        public Mono<Sight<String>> follow(Key key, java.util.Optional<String> version, long since) {
            return tier.follow(key, version, since);
        }

        @Override
        public Latch listen(Key key) {
            return tier.listen(key);
        }
    }
}
