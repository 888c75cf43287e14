package dev.corral.proxy;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.TierKey;
import java.time.Duration;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Remembers which variants of a resource this replica has recently stored, and how often it used each one. The number of variants
 * must be bounded, because clients choose the selecting fields. At the limit, a new variant replaces the least used one, so that no
 * client can keep variants in use out of the cache. Thread-safe.
 */
public final class VariantLimiter {

    /** Starts with the first variant. Afterwards counting restarts, because a variant that was once in use may not be any more. */
    static final Duration COUNTING_PERIOD = Duration.ofMinutes(10);

    /** Limit for the variants of all resources together, about 20 MB. For an evicted resource, counting restarts. */
    static final int MAX_REMEMBERED_VARIANTS = 100_000;

    /**
     * For each resource: its variants in the order in which they were first stored, and their hits since then. The maps are
     * unmodifiable.
     */
    private final Cache<TierKey, Map<TierKey, AtomicInteger>> useCounts;

    /** Creates a limiter that remembers no variants. */
    public VariantLimiter(Ticker ticker) {
        // Evicts on the caller's thread, because eviction is fast.
        this.useCounts = Caffeine.newBuilder()
                .expireAfter(
                        Expiry.<TierKey, Map<TierKey, AtomicInteger>>creating((resource, variants) -> COUNTING_PERIOD))
                .maximumWeight(MAX_REMEMBERED_VARIANTS)
                .weigher((TierKey resource, Map<TierKey, AtomicInteger> variants) -> variants.size())
                .ticker(ticker)
                .executor(Runnable::run)
                .build();
    }

    /**
     * Admits a variant that is about to be stored. If the resource already has {@code maxVariants} variants, the new one replaces
     * the least used one; among several of these, the oldest.
     *
     * @param maxVariants the maximum number of variants of one resource
     * @return the replaced variant, which the caller must remove
     */
    Optional<TierKey> admit(TierKey resource, TierKey variant, int maxVariants) {
        if (useCountsOf(resource).containsKey(variant)) {
            return Optional.empty();
        }
        var removed = new AtomicReference<@Nullable TierKey>();
        // Replaces the map instead of changing it, so that Caffeine computes its weight again.
        useCounts.asMap().compute(resource, (key, before) -> {
            removed.set(null);
            if (before != null && before.containsKey(variant)) {
                return before;
            }
            var after = new LinkedHashMap<TierKey, AtomicInteger>(before == null ? Map.of() : before);
            if (after.size() >= maxVariants) {
                TierKey leastUsed = Collections
                        .min(after.entrySet(), Comparator.comparingInt(entry -> entry.getValue().get()))
                        .getKey();
                after.remove(leastUsed);
                removed.set(leastUsed);
            }
            after.put(variant, new AtomicInteger());
            return Collections.unmodifiableMap(after);
        });
        return Optional.ofNullable(removed.get());
    }

    /** Records that this variant has served a request. */
    void recordUse(TierKey resource, TierKey variant) {
        AtomicInteger uses = useCountsOf(resource).get(variant);
        if (uses != null) {
            uses.incrementAndGet();
        }
    }

    private Map<TierKey, AtomicInteger> useCountsOf(TierKey resource) {
        Map<TierKey, AtomicInteger> counts = useCounts.getIfPresent(resource);
        return counts == null ? Map.of() : counts;
    }

    /** The number of remembered variants of the resource. */
    int rememberedCount(TierKey resource) {
        return useCountsOf(resource).size();
    }
}
