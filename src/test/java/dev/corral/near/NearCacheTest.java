package dev.corral.near;

import dev.corral.coalesce.InMemoryTier;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt.Acquired;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.SharedTierContract;
import dev.corral.coalesce.TierKey;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.purge.PurgeRegistry;
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

    private static final TierKey KEY = TierKey.of("near");
    private static final Duration MAX_UNVALIDATED_AGE = Duration.ofSeconds(1);
    private static final Duration TTL = Duration.ofMinutes(1);

    private final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    private final InMemoryTier.InMemoryStore<TierKey, String> store = new InMemoryTier.InMemoryStore<>(time);
    private final InMemoryTier<TierKey, String> bareTier = store.replica("bare");
    private boolean purgesCurrent = true;
    private long position;
    private final List<NearCache<String>> replicas = List.of(nearCache("a"), nearCache("b"));
    private final NearCache<String> nearCache = replicas.getFirst();

    @Test
    void recentValueIsServedFromMemoryAndThenReadAgain() {
        publish(bareTier, "a");
        assertThat(find()).isEqualTo("a");
        publish(bareTier, "b");

        assertThat(find()).isEqualTo("a");
        assertThat(nearCache.getIfRecent(KEY)).contains("a");
        time.advanceTimeBy(MAX_UNVALIDATED_AGE);

        assertThat(nearCache.getIfRecent(KEY)).isEmpty();
        assertThat(find()).isEqualTo("b");
        assertThat(nearCache.getIfRecent(KEY)).contains("b");
    }

    @Test
    void tierIsReadWhenPurgesAreNotCurrent() {
        publish(bareTier, "a");
        find();
        publish(bareTier, "b");

        purgesCurrent = false;

        assertThat(nearCache.getIfRecent(KEY)).isEmpty();
        assertThat(find()).isEqualTo("b");
    }

    @Test
    void valueIsServedWithoutTierUntilItsTtl() {
        publish(bareTier, "a");
        find();
        store.available(false);
        purgesCurrent = false;
        time.advanceTimeBy(TTL.minusMillis(1));

        assertThat(find()).isEqualTo("a");
        time.advanceTimeBy(Duration.ofMillis(1));

        assertThatThrownBy(this::find).isInstanceOf(TierUnavailableException.class);
    }

    @Test
    void publishedValueIsRemembered() {
        publish(nearCache, "a");
        store.available(false);

        assertThat(nearCache.getIfRecent(KEY)).contains("a");
        assertThat(nearCache.find(KEY).map(Versioned::version).blockOptional()).isPresent();
    }

    /** Or what was in the tier before somebody came would be taken for what has come while he waited. */
    @Test
    void valueServedFromMemoryIsMarkedRemembered() {
        publish(bareTier, "found");
        assertThat(nearCache.find(KEY).map(Versioned::isFromMemory).block()).isFalse();
        assertThat(nearCache.find(KEY).map(Versioned::isFromMemory).block()).isTrue();

        publish(nearCache, "published");
        assertThat(nearCache.find(KEY).map(Versioned::isFromMemory).block()).isTrue();

        time.advanceTimeBy(MAX_UNVALIDATED_AGE);
        assertThat(nearCache.find(KEY).map(Versioned::isFromMemory).block()).isFalse();
        store.available(false);
        time.advanceTimeBy(MAX_UNVALIDATED_AGE);
        assertThat(nearCache.find(KEY).map(Versioned::isFromMemory).block()).isTrue();
    }

    @Test
    void rejectedPublishIsNotRemembered() {
        Lease<TierKey> lapsed = lease(nearCache);
        store.expireLease(KEY);
        assertThat(publish(nearCache, lapsed, "fenced")).isEqualTo(PublishResult.FENCED);
        Lease<TierKey> lease = lease(nearCache);
        store.full(true);
        assertThat(publish(nearCache, lease, "full")).isEqualTo(PublishResult.OUT_OF_MEMORY);

        assertThat(nearCache.getIfRecent(KEY)).isEmpty();
    }

    @Test
    void valueSeenByFollowerOrLeaderIsRemembered() {
        lease(bareTier);
        nearCache.follow(KEY, java.util.Optional.empty(), 0).block();
        store.expireLease(KEY);
        publish(bareTier, "a");
        nearCache.follow(KEY, java.util.Optional.empty(), 0).block();
        assertThat(nearCache.getIfRecent(KEY)).contains("a");

        publish(bareTier, "b");
        nearCache.snapshot(lease(nearCache)).block();

        assertThat(nearCache.getIfRecent(KEY)).contains("b");
    }

    @Test
    void valueMissingFromTheTierIsForgotten() {
        publish(bareTier, "a");
        find();
        store.clear();
        time.advanceTimeBy(MAX_UNVALIDATED_AGE);

        assertThat(nearCache.find(KEY).blockOptional()).isEmpty();
        store.available(false);

        assertThatThrownBy(this::find).isInstanceOf(TierUnavailableException.class);
    }

    @Test
    void readSentBeforeAPublishDoesNotUndoIt() {
        publish(bareTier, "old");
        Mono<Versioned<String>> slow = bareTier.find(KEY).delayElement(Duration.ofMillis(10), time);
        NearCache<String> replica = nearCache(new SlowTier(bareTier, slow));
        var look = replica.find(KEY).toFuture();
        time.advanceTimeBy(Duration.ofMillis(5));
        publish(replica, "new");

        time.advanceTimeBy(Duration.ofMillis(5));

        assertThat(look.join().value()).isEqualTo("old");
        assertThat(replica.getIfRecent(KEY)).contains("new");
    }

    @Test
    void valueThatCouldNotBePublishedIsKeptLocally() {
        nearCache.keepLocally(new Write<>(KEY, "a", TTL));
        store.available(false);

        assertThat(find()).isEqualTo("a");
        nearCache.keepLocally(new Write<>(KEY, "b", TTL));

        assertThat(nearCache.getIfRecent(KEY)).contains("b");
    }

    @Test
    void valueWithZeroTtlIsNotKept() {
        nearCache.keepLocally(new Write<>(KEY, "a", TTL));
        nearCache.keepLocally(new Write<>(KEY, "b", Duration.ZERO));

        assertThat(nearCache.getIfRecent(KEY)).isEmpty();
    }

    @Test
    void sizeIsBoundedInBytes() {
        for (int i = 0; i < 1_000; i++) {
            nearCache.keepLocally(new Write<>(KEY.withSubkey("v:" + i), "x".repeat(100), TTL));
        }

        assertThat(nearCache.weightedSize()).isLessThanOrEqualTo(10_000);
        assertThat(nearCache.size()).isBetween(50L, 100L);
    }

    @Override
    protected SharedTier<TierKey, String> replica(int number) {
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
        store.purgePosition(++position);
        return position;
    }

    @Override
    protected void setFull(boolean full) {
        store.full(full);
    }

    @Override
    protected long leftovers(String resource) {
        return store.leftovers(key -> key.resource().equals(resource));
    }

    private NearCache<String> nearCache(String name) {
        return nearCache(store.replica(name));
    }

    private NearCache<String> nearCache(SharedTier<TierKey, String> tier) {
        var purges = new PurgeRegistry() {
            @Override
            public long latestPosition() {
                return position;
            }

            @Override
            public boolean isUpToDate() {
                return purgesCurrent;
            }

            @Override
            public long syncedPosition() {
                return position;
            }

            @Override
            public PurgeVerdict verdict(List<String> names, long since) {
                return PurgeVerdict.VALID;
            }

            @Override
            public Mono<PurgeReceipt> purge(Purge purge) {
                return Mono.just(new PurgeReceipt(++position, Flux.empty()));
            }
        };
        return new NearCache<>(tier, purges, 10_000, String::length, value -> TTL, MAX_UNVALIDATED_AGE,
                value -> MAX_UNVALIDATED_AGE,
                () -> time.now(TimeUnit.NANOSECONDS));
    }

    private String find() {
        return nearCache.find(KEY).blockOptional().orElseThrow().value();
    }

    private static Lease<TierKey> lease(SharedTier<TierKey, String> tier) {
        return ((Acquired<TierKey>) tier.tryLead(KEY, TTL).blockOptional().orElseThrow()).lease();
    }

    private static void publish(SharedTier<TierKey, String> tier, String value) {
        assertThat(publish(tier, lease(tier), value)).isEqualTo(PublishResult.STORED);
    }

    private static PublishResult publish(SharedTier<TierKey, String> tier, Lease<TierKey> lease, String value) {
        Optional<String> stoodOn = tier.snapshot(lease).blockOptional().orElseThrow().version();
        return tier.publish(lease, stoodOn, List.of(new Write<>(KEY, value, TTL))).blockOptional().orElseThrow();
    }

    /** A tier whose looks take their time. */
    private record SlowTier(SharedTier<TierKey, String> tier,
            Mono<Versioned<String>> slowRead) implements SharedTier<TierKey, String> {

        @Override
        public Mono<Versioned<String>> find(TierKey key) {
            return slowRead;
        }

        @Override
        public Mono<LeaseAttempt<TierKey>> tryLead(TierKey key, Duration ttl) {
            return tier.tryLead(key, ttl);
        }

        @Override
        public Mono<LeaderSnapshot<String>> snapshot(Lease<TierKey> lease) {
            return tier.snapshot(lease);
        }

        @Override
        public Mono<Boolean> renew(Lease<TierKey> lease, Duration ttl) {
            return tier.renew(lease, ttl);
        }

        @Override
        public Mono<PublishResult> publish(Lease<TierKey> lease, Optional<String> stoodOn,
                List<Write<TierKey, String>> writes) {
            return tier.publish(lease, stoodOn, writes);
        }

        @Override
        public Mono<Void> release(Lease<TierKey> lease, FillNotification ring) {
            return tier.release(lease, ring);
        }

        @Override
        public Mono<Void> publishFailure(Lease<TierKey> lease, String failure) {
            return tier.publishFailure(lease, failure);
        }

        @Override
        public Mono<FollowResult<String>> follow(TierKey key, java.util.Optional<String> version, long since) {
            return tier.follow(key, version, since);
        }

        @Override
        public FillSubscription subscribe(TierKey key) {
            return tier.subscribe(key);
        }
    }
}
