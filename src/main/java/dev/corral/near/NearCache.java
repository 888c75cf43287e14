package dev.corral.near;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.TierKey;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.purge.PurgeRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.stream.Stream;
import reactor.core.publisher.Mono;

/**
 * A shared tier with the memory of this process in front of it. Thread-safe.
 *
 * <p>Every value that is read or written is kept, within a limit in bytes. For its validation interval a kept value is used
 * without a request to the tier, as long as this replica's purges are up to date. After that, the tier is asked for the current
 * version before the value is used. While the tier is unavailable, a kept value is used for as long as it may be kept: never
 * beyond the TTL with which it was written, or beyond its {@code remainingTtl}.
 *
 * <p>As with any tier, the reader checks whether a value has been purged.
 */
public final class NearCache<V> implements SharedTier<TierKey, V> {

    /**
     * @param versioned           the value, marked as read from memory, so that a reader does not take a later version of the
     *              tier for a change since the read
     * @param value               the result of {@link #getIfRecent}, created once
     * @param unchangedSinceNanos the ticker time at which the tier was first known to hold this version
     * @param validatedNanos      the ticker time at which the tier was last known to hold this version, or shortly before
     * @param recentUntilNanos    the ticker time until which the value is used without a request to the tier
     * @param ttl                 how long to keep the value
     */
    private record CachedEntry<V>(Versioned<V> versioned, Optional<V> value, long unchangedSinceNanos,
            long validatedNanos, long recentUntilNanos, Duration ttl) {}

    private final SharedTier<TierKey, V> tier;
    private final PurgeRegistry purges;
    private final Function<V, Duration> remainingTtl;
    private final long minValidationIntervalNanos;
    private final Function<V, Duration> maxValidationInterval;
    private final Ticker ticker;
    private final Cache<TierKey, CachedEntry<V>> cache;
    private final AtomicLong localVersions = new AtomicLong();

    /**
     * @param maxBytes              the maximum size of all values, as counted by {@code weigher}
     * @param weigher               the bytes of one value, including all overhead of keeping it
     * @param remainingTtl          how long a value that was read from the tier may still be kept; not at all when zero or
     *              negative
     * @param minValidationInterval how long a value is used without a request to the tier. A value that the tier has had
     *              unchanged for a longer time is used for that time again
     * @param maxValidationInterval the limit of the longer interval
     * @param ticker                measures all of these times
     */
    public NearCache(SharedTier<TierKey, V> tier, PurgeRegistry purges, long maxBytes, ToIntFunction<V> weigher,
            Function<V, Duration> remainingTtl, Duration minValidationInterval,
            Function<V, Duration> maxValidationInterval,
            Ticker ticker) {
        this.tier = tier;
        this.purges = purges;
        this.remainingTtl = remainingTtl;
        this.minValidationIntervalNanos = minValidationInterval.toNanos();
        this.maxValidationInterval = maxValidationInterval;
        this.ticker = ticker;
        this.cache = Caffeine.newBuilder()
                .maximumWeight(maxBytes)
                .<TierKey, CachedEntry<V>>weigher((key, cached) -> weigher.applyAsInt(cached.versioned().value()))
                .expireAfter(Expiry.<TierKey, CachedEntry<V>>writing((key, cached) -> cached.ttl()))
                .ticker(ticker)
                // Maintenance is short and amortized: it needs no thread of its own.
                .executor(Runnable::run)
                .build();
    }

    /**
     * The value, if it may be used without a request to the tier; empty otherwise. Does no I/O and allocates almost nothing.
     */
    public Optional<V> getIfRecent(TierKey key) {
        CachedEntry<V> cached = cache.getIfPresent(key);
        return cached != null && isRecent(cached) ? cached.value() : Optional.empty();
    }

    /** The values in memory, valid or not; for operators, not for requests. */
    public Stream<V> values() {
        return cache.asMap().values().stream().map(cached -> cached.versioned().value());
    }

    /** The number of values in memory. */
    public long size() {
        cache.cleanUp();
        return cache.estimatedSize();
    }

    /** The size of all values in memory in bytes, as counted by the weigher. */
    public long weightedSize() {
        return cache.policy().eviction().orElseThrow().weightedSize().orElseThrow();
    }

    @Override
    public Mono<Versioned<V>> find(TierKey key) {
        return Mono.defer(() -> {
            Optional<CachedEntry<V>> cached = Optional.ofNullable(cache.getIfPresent(key));
            if (cached.isPresent() && isRecent(cached.get())) {
                return Mono.just(cached.get().versioned());
            }
            long startNanos = ticker.read();
            // The whole value is read again only if its version has changed.
            return cached.map(CachedEntry::versioned)
                    .map(found -> tier.find(key, found))
                    .orElseGet(() -> tier.find(key))
                    .doOnNext(found -> cacheFound(key, found, startNanos))
                    .switchIfEmpty(Mono.fromRunnable(() -> removeIfOlder(key, startNanos)))
                    .onErrorResume(TierUnavailableException.class, e -> cached
                            .map(CachedEntry::versioned)
                            .map(Mono::just)
                            .orElseGet(() -> Mono.error(e)));
        });
    }

    @Override
    public Mono<LeaseAttempt<TierKey>> tryLead(TierKey key, Duration ttl) {
        return tier.tryLead(key, ttl);
    }

    @Override
    public Mono<LeaderSnapshot<V>> snapshot(Lease<TierKey> lease) {
        return Mono.defer(() -> {
            long startNanos = ticker.read();
            return tier.snapshot(lease)
                    .doOnNext(snapshot -> snapshot.current()
                            .ifPresentOrElse(found -> cacheFound(lease.key(), found, startNanos),
                                    () -> removeIfOlder(lease.key(), startNanos)));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<TierKey> lease, Duration ttl) {
        return tier.renew(lease, ttl);
    }

    @Override
    public Mono<PublishResult> publish(Lease<TierKey> lease, Optional<String> expectedVersion,
            List<Write<TierKey, V>> writes) {
        return tier.publish(lease, expectedVersion, writes).doOnNext(result -> {
            switch (result) {
                case STORED -> writes.forEach(write -> cacheWritten(write, lease.holder()));
                case FENCED, OUT_OF_MEMORY -> {
                    // The tier has stored nothing.
                }
            }
        });
    }

    @Override
    public Mono<Void> release(Lease<TierKey> lease, FillNotification notification) {
        return tier.release(lease, notification);
    }

    @Override
    public Mono<Void> publishFailure(Lease<TierKey> lease, V failure) {
        return tier.publishFailure(lease, failure);
    }

    @Override
    public Mono<FollowResult<V>> follow(TierKey key, Optional<String> version, long observedAt) {
        return Mono.defer(() -> {
            long startNanos = ticker.read();
            return tier.follow(key, version, observedAt).doOnNext(result -> {
                if (result instanceof FollowResult.Changed<V>(Versioned<V> found)) {
                    cacheFound(key, found, startNanos);
                }
            });
        });
    }

    @Override
    public FillSubscription subscribe(TierKey key) {
        return tier.subscribe(key);
    }

    @Override
    public void keepLocally(Write<TierKey, V> write) {
        tier.keepLocally(write);
        cacheWritten(write, "near:" + localVersions.incrementAndGet());
    }

    private boolean isRecent(CachedEntry<V> cached) {
        return ticker.read() - cached.recentUntilNanos() < 0 && purges.isUpToDate();
    }

    private void cacheFound(TierKey key, Versioned<V> found, long startNanos) {
        cacheIfNewer(key, newEntry(found.asFromMemory(), startNanos, remainingTtl.apply(found.value())));
    }

    /** Validated from now on: a read that was sent before the write may have missed it. */
    private void cacheWritten(Write<TierKey, V> write, String version) {
        var found = new Versioned<>(write.value(), version, true);
        cacheIfNewer(write.key(), newEntry(found, ticker.read(), write.ttl()));
    }

    private CachedEntry<V> newEntry(Versioned<V> found, long validatedNanos, Duration ttl) {
        return new CachedEntry<>(found, Optional.of(found.value()), validatedNanos, validatedNanos,
                validatedNanos + minValidationIntervalNanos,
                ttl);
    }

    /** The same version, read again: it may be used for as long as it has been unchanged. */
    private CachedEntry<V> revalidated(CachedEntry<V> old, CachedEntry<V> found) {
        long unchangedNanos = found.validatedNanos() - old.unchangedSinceNanos();
        long maxNanos = Math.max(minValidationIntervalNanos,
                maxValidationInterval.apply(found.versioned().value()).toNanos());
        long recentUntilNanos = found.validatedNanos()
                + Math.max(minValidationIntervalNanos, Math.min(unchangedNanos, maxNanos));
        return new CachedEntry<>(found.versioned(), found.value(), old.unchangedSinceNanos(), found.validatedNanos(),
                recentUntilNanos, found.ttl());
    }

    /** Keeps the entry unless a later validated one is there. */
    private void cacheIfNewer(TierKey key, CachedEntry<V> entry) {
        if (entry.ttl().isPositive()) {
            cache.asMap()
                    .merge(key, entry, (old, found) -> old.validatedNanos() - found.validatedNanos() > 0
                            ? old
                            : old.versioned().version().equals(found.versioned().version())
                                    ? revalidated(old, found)
                                    : found);
        } else {
            removeIfOlder(key, entry.validatedNanos());
        }
    }

    private void removeIfOlder(TierKey key, long startNanos) {
        cache.asMap().computeIfPresent(key, (same, cached) -> cached.validatedNanos() - startNanos > 0 ? cached : null);
    }
}
