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
 * A tier with this process's memory before it. Thread-safe.
 *
 * <p>What passes through is remembered, within a bound in bytes. It is used for its {@code recency} without asking the tier, as
 * long as this replica's purges are current; then the tier is asked for its version. Later, and for as long as the value may be kept, only when the tier is away. A value is
 * never kept beyond the life it was written with, nor beyond what {@code left} says of it.
 *
 * <p>Whether a value has been purged is for the reader to judge, as with any tier.
 */
public final class NearCache<V> implements SharedTier<TierKey, V> {

    /**
     * @param versioned           as remembered, so that a reader does not take what the tier has had since for news
     * @param value               what {@link #getIfRecent} gives, made once
     * @param unchangedSinceNanos nanoseconds at which the tier was first known to hold this version
     * @param validatedNanos      nanoseconds at which the tier was last known to hold this, or a moment before
     * @param recentUntilNanos    nanoseconds until which it is used without asking the tier
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
     * @param limit   of all values, in bytes as {@code weigher} counts them
     * @param weigher bytes of one value with all it takes to hold it
     * @param left    how long a value that was found in the tier may still be kept; nothing or less: not at all
     * @param recency how long a value is used without asking the tier whether it has another one; longer for one that the tier has
     *                had unchanged for longer: as long again
     * @param longest the limit of that
     */
    public NearCache(SharedTier<TierKey, V> tier, PurgeRegistry purges, long limit, ToIntFunction<V> weigher,
            Function<V, Duration> left, Duration recency, Function<V, Duration> longest, Ticker ticker) {
        this.tier = tier;
        this.purges = purges;
        this.remainingTtl = left;
        this.minValidationIntervalNanos = recency.toNanos();
        this.maxValidationInterval = longest;
        this.ticker = ticker;
        this.cache = Caffeine.newBuilder()
                .maximumWeight(limit)
                .<TierKey, CachedEntry<V>>weigher((key, held) -> weigher.applyAsInt(held.versioned().value()))
                .expireAfter(Expiry.<TierKey, CachedEntry<V>>writing((key, held) -> held.ttl()))
                .ticker(ticker)
                // Upkeep is short and amortised: not worth another thread.
                .executor(Runnable::run)
                .build();
    }

    /** The value, if memory may answer for the tier. Asks nobody, and allocates nothing to speak of. */
    public Optional<V> getIfRecent(TierKey key) {
        CachedEntry<V> held = cache.getIfPresent(key);
        return held != null && isRecent(held) ? held.value() : Optional.empty();
    }

    /** The values held, as they are found; for operators, not for requests. */
    public Stream<V> values() {
        return cache.asMap().values().stream().map(held -> held.versioned().value());
    }

    /** Values held. */
    public long size() {
        cache.cleanUp();
        return cache.estimatedSize();
    }

    /** Bytes held, as the weigher counts them. */
    public long weightedSize() {
        return cache.policy().eviction().orElseThrow().weightedSize().orElseThrow();
    }

    @Override
    public Mono<Versioned<V>> find(TierKey key) {
        return Mono.defer(() -> {
            Optional<CachedEntry<V>> held = Optional.ofNullable(cache.getIfPresent(key));
            if (held.isPresent() && isRecent(held.get())) {
                return Mono.just(held.get().versioned());
            }
            long asked = ticker.read();
            // The whole value is read again only if it is another one.
            return held.map(CachedEntry::versioned)
                    .map(seen -> tier.find(key, seen))
                    .orElseGet(() -> tier.find(key))
                    .doOnNext(seen -> cacheFound(key, seen, asked))
                    .switchIfEmpty(Mono.fromRunnable(() -> removeIfOlder(key, asked)))
                    .onErrorResume(TierUnavailableException.class, away -> held
                            .map(CachedEntry::versioned)
                            .map(Mono::just)
                            .orElseGet(() -> Mono.error(away)));
        });
    }

    @Override
    public Mono<LeaseAttempt<TierKey>> tryLead(TierKey key, Duration ttl) {
        return tier.tryLead(key, ttl);
    }

    @Override
    public Mono<LeaderSnapshot<V>> snapshot(Lease<TierKey> lease) {
        return Mono.defer(() -> {
            long asked = ticker.read();
            return tier.snapshot(lease)
                    .doOnNext(ground -> ground.current()
                            .ifPresentOrElse(seen -> cacheFound(lease.key(), seen, asked),
                                    () -> removeIfOlder(lease.key(), asked)));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<TierKey> lease, Duration ttl) {
        return tier.renew(lease, ttl);
    }

    @Override
    public Mono<PublishResult> publish(Lease<TierKey> lease, Optional<String> stoodOn, List<Write<TierKey, V>> writes) {
        return tier.publish(lease, stoodOn, writes).doOnNext(published -> {
            switch (published) {
                case STORED -> writes.forEach(write -> cacheWritten(write, lease.holder()));
                case FENCED, OUT_OF_MEMORY -> {
                    // The tier holds nothing of it.
                }
            }
        });
    }

    @Override
    public Mono<Void> release(Lease<TierKey> lease, FillNotification ring) {
        return tier.release(lease, ring);
    }

    @Override
    public Mono<Void> publishFailure(Lease<TierKey> lease, V failure) {
        return tier.publishFailure(lease, failure);
    }

    @Override
    public Mono<FollowResult<V>> follow(TierKey key, Optional<String> version, long since) {
        return Mono.defer(() -> {
            long asked = ticker.read();
            return tier.follow(key, version, since).doOnNext(sight -> {
                if (sight instanceof FollowResult.Changed<V>(Versioned<V> seen)) {
                    cacheFound(key, seen, asked);
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

    private boolean isRecent(CachedEntry<V> held) {
        return ticker.read() - held.recentUntilNanos() < 0 && purges.isUpToDate();
    }

    private void cacheFound(TierKey key, Versioned<V> seen, long asked) {
        cacheIfNewer(key, newEntry(seen.asFromMemory(), asked, remainingTtl.apply(seen.value())));
    }

    /** Known from now on: a look that was sent before may have missed it. */
    private void cacheWritten(Write<TierKey, V> write, String version) {
        var seen = new Versioned<>(write.value(), version, true);
        cacheIfNewer(write.key(), newEntry(seen, ticker.read(), write.ttl()));
    }

    private CachedEntry<V> newEntry(Versioned<V> seen, long known, Duration life) {
        return new CachedEntry<>(seen, Optional.of(seen.value()), known, known, known + minValidationIntervalNanos,
                life);
    }

    /** The same version, found again: it may be used for as long as it has been unchanged. */
    private CachedEntry<V> revalidated(CachedEntry<V> old, CachedEntry<V> found) {
        long unchanged = found.validatedNanos() - old.unchangedSinceNanos();
        long most = Math.max(minValidationIntervalNanos,
                maxValidationInterval.apply(found.versioned().value()).toNanos());
        long until = found.validatedNanos() + Math.max(minValidationIntervalNanos, Math.min(unchanged, most));
        return new CachedEntry<>(found.versioned(), found.value(), old.unchangedSinceNanos(), found.validatedNanos(),
                until, found.ttl());
    }

    /** What is known from later stays. */
    private void cacheIfNewer(TierKey key, CachedEntry<V> held) {
        if (held.ttl().isPositive()) {
            cache.asMap()
                    .merge(key, held, (old, found) -> old.validatedNanos() - found.validatedNanos() > 0
                            ? old
                            : old.versioned().version().equals(found.versioned().version())
                                    ? revalidated(old, found)
                                    : found);
        } else {
            removeIfOlder(key, held.validatedNanos());
        }
    }

    private void removeIfOlder(TierKey key, long asked) {
        cache.asMap().computeIfPresent(key, (same, held) -> held.validatedNanos() - asked > 0 ? held : null);
    }
}
