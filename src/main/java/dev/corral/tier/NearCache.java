package dev.corral.tier;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.TierUnavailable;
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
public final class NearCache<V> implements SharedTier<Key, V> {

    /**
     * @param seen   as remembered, so that a reader does not take what the tier has had since for news
     * @param peeked what {@link #peek} gives, made once
     * @param since  nanoseconds at which the tier was first known to hold this version
     * @param known  nanoseconds at which the tier was last known to hold this, or a moment before
     * @param until  nanoseconds until which it is used without asking the tier
     */
    private record Held<V>(Seen<V> seen, Optional<V> peeked, long since, long known, long until, Duration life) {}

    private final SharedTier<Key, V> tier;
    private final Purges purges;
    private final Function<V, Duration> left;
    private final long recency;
    private final Function<V, Duration> longest;
    private final Ticker ticker;
    private final Cache<Key, Held<V>> memory;
    private final AtomicLong kept = new AtomicLong();

    /**
     * @param limit   of all values, in bytes as {@code weigher} counts them
     * @param weigher bytes of one value with all it takes to hold it
     * @param left    how long a value that was found in the tier may still be kept; nothing or less: not at all
     * @param recency how long a value is used without asking the tier whether it has another one; longer for one that the tier has
     *                had unchanged for longer: as long again
     * @param longest the limit of that
     */
    public NearCache(SharedTier<Key, V> tier, Purges purges, long limit, ToIntFunction<V> weigher,
            Function<V, Duration> left, Duration recency, Function<V, Duration> longest, Ticker ticker) {
        this.tier = tier;
        this.purges = purges;
        this.left = left;
        this.recency = recency.toNanos();
        this.longest = longest;
        this.ticker = ticker;
        this.memory = Caffeine.newBuilder()
                .maximumWeight(limit)
                .<Key, Held<V>>weigher((key, held) -> weigher.applyAsInt(held.seen().value()))
                .expireAfter(Expiry.<Key, Held<V>>writing((key, held) -> held.life()))
                .ticker(ticker)
                // Upkeep is short and amortised: not worth another thread.
                .executor(Runnable::run)
                .build();
    }

    /** The value, if memory may answer for the tier. Asks nobody, and allocates nothing to speak of. */
    public Optional<V> peek(Key key) {
        Held<V> held = memory.getIfPresent(key);
        return held != null && recent(held) ? held.peeked() : Optional.empty();
    }

    /** The values held, as they are found; for operators, not for requests. */
    public Stream<V> values() {
        return memory.asMap().values().stream().map(held -> held.seen().value());
    }

    /** Values held. */
    public long size() {
        memory.cleanUp();
        return memory.estimatedSize();
    }

    /** Bytes held, as the weigher counts them. */
    public long weight() {
        return memory.policy().eviction().orElseThrow().weightedSize().orElseThrow();
    }

    @Override
    public Mono<Seen<V>> find(Key key) {
        return Mono.defer(() -> {
            Optional<Held<V>> held = Optional.ofNullable(memory.getIfPresent(key));
            if (held.isPresent() && recent(held.get())) {
                return Mono.just(held.get().seen());
            }
            long asked = ticker.read();
            // The whole value is read again only if it is another one.
            return held.map(Held::seen)
                    .map(seen -> tier.find(key, seen))
                    .orElseGet(() -> tier.find(key))
                    .doOnNext(seen -> rememberFound(key, seen, asked))
                    .switchIfEmpty(Mono.fromRunnable(() -> forget(key, asked)))
                    .onErrorResume(TierUnavailable.class, away -> held
                            .map(Held::seen)
                            .map(Mono::just)
                            .orElseGet(() -> Mono.error(away)));
        });
    }

    @Override
    public Mono<Attempt<Key>> tryLead(Key key, Duration ttl) {
        return tier.tryLead(key, ttl);
    }

    @Override
    public Mono<Ground<V>> stand(Lease<Key> lease) {
        return Mono.defer(() -> {
            long asked = ticker.read();
            return tier.stand(lease)
                    .doOnNext(ground -> ground.seen()
                            .ifPresentOrElse(seen -> rememberFound(lease.key(), seen, asked),
                                    () -> forget(lease.key(), asked)));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<Key> lease, Duration ttl) {
        return tier.renew(lease, ttl);
    }

    @Override
    public Mono<Published> publish(Lease<Key> lease, Optional<String> stoodOn, List<Write<Key, V>> writes) {
        return tier.publish(lease, stoodOn, writes).doOnNext(published -> {
            switch (published) {
                case STORED -> writes.forEach(write -> remember(write, lease.holder()));
                case FENCED, FULL -> {
                    // The tier holds nothing of it.
                }
            }
        });
    }

    @Override
    public Mono<Void> release(Lease<Key> lease, Ring ring) {
        return tier.release(lease, ring);
    }

    @Override
    public Mono<Void> fail(Lease<Key> lease, V failure) {
        return tier.fail(lease, failure);
    }

    @Override
    public Mono<Sight<V>> follow(Key key, Optional<String> version, long since) {
        return Mono.defer(() -> {
            long asked = ticker.read();
            return tier.follow(key, version, since).doOnNext(sight -> {
                if (sight instanceof Sight.Changed<V>(Seen<V> seen)) {
                    rememberFound(key, seen, asked);
                }
            });
        });
    }

    @Override
    public Latch listen(Key key) {
        return tier.listen(key);
    }

    @Override
    public void keep(Write<Key, V> write) {
        tier.keep(write);
        remember(write, "near:" + kept.incrementAndGet());
    }

    private boolean recent(Held<V> held) {
        return ticker.read() - held.until() < 0 && purges.current();
    }

    private void rememberFound(Key key, Seen<V> seen, long asked) {
        remember(key, held(seen.asRemembered(), asked, left.apply(seen.value())));
    }

    /** Known from now on: a look that was sent before may have missed it. */
    private void remember(Write<Key, V> write, String version) {
        var seen = new Seen<>(write.value(), version, true);
        remember(write.key(), held(seen, ticker.read(), write.life()));
    }

    private Held<V> held(Seen<V> seen, long known, Duration life) {
        return new Held<>(seen, Optional.of(seen.value()), known, known, known + recency, life);
    }

    /** The same version, found again: it may be used for as long as it has been unchanged. */
    private Held<V> again(Held<V> old, Held<V> found) {
        long unchanged = found.known() - old.since();
        long most = Math.max(recency, longest.apply(found.seen().value()).toNanos());
        long until = found.known() + Math.max(recency, Math.min(unchanged, most));
        return new Held<>(found.seen(), found.peeked(), old.since(), found.known(), until, found.life());
    }

    /** What is known from later stays. */
    private void remember(Key key, Held<V> held) {
        if (held.life().isPositive()) {
            memory.asMap()
                    .merge(key, held, (old, found) -> old.known() - found.known() > 0
                            ? old
                            : old.seen().version().equals(found.seen().version()) ? again(old, found) : found);
        } else {
            forget(key, held.known());
        }
    }

    private void forget(Key key, long asked) {
        memory.asMap().computeIfPresent(key, (same, held) -> held.known() - asked > 0 ? held : null);
    }
}
