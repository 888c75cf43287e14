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
 * Which variants of a resource this replica has stored of late, and how often it used each: there must be a bound, for clients
 * choose what selects them. Beyond it the least used gives way to the new one, so that nobody can keep out what is in use.
 * Thread-safe.
 */
public final class VariantLimiter {

    /** From the first: then the resource is counted anew, for what was in use once need not be for ever. */
    static final Duration COUNTING_PERIOD = Duration.ofMinutes(10);

    /** Variants of all resources together, about 20 MB. A resource that falls out is counted anew. */
    static final int MAX_REMEMBERED_VARIANTS = 100_000;

    /**
     * Of each resource: its variants in the order in which they were stored first, and their hits since. The maps are never
     * changed.
     */
    private final Cache<TierKey, Map<TierKey, AtomicInteger>> useCounts;

    /** None so far. */
    public VariantLimiter(Ticker ticker) {
        // On the caller's thread: to evict is quick.
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
     * This variant is about to be stored. If there are as many of the resource as may be, the least used one, and of these the
     * oldest, gives way: it is the result, and must be removed.
     *
     * @param most of one resource
     */
    Optional<TierKey> admit(TierKey resource, TierKey variant, int most) {
        if (useCountsOf(resource).containsKey(variant)) {
            return Optional.empty();
        }
        var removed = new AtomicReference<@Nullable TierKey>();
        // Written anew, for so it is weighed anew.
        useCounts.asMap().compute(resource, (key, before) -> {
            removed.set(null);
            if (before != null && before.containsKey(variant)) {
                return before;
            }
            var after = new LinkedHashMap<TierKey, AtomicInteger>(before == null ? Map.of() : before);
            if (after.size() >= most) {
                TierKey least = Collections
                        .min(after.entrySet(), Comparator.comparingInt(entry -> entry.getValue().get()))
                        .getKey();
                after.remove(least);
                removed.set(least);
            }
            after.put(variant, new AtomicInteger());
            return Collections.unmodifiableMap(after);
        });
        return Optional.ofNullable(removed.get());
    }

    /** This variant has served a request. */
    void recordUse(TierKey resource, TierKey variant) {
        AtomicInteger uses = useCountsOf(resource).get(variant);
        if (uses != null) {
            uses.incrementAndGet();
        }
    }

    private Map<TierKey, AtomicInteger> useCountsOf(TierKey resource) {
        Map<TierKey, AtomicInteger> known = useCounts.getIfPresent(resource);
        return known == null ? Map.of() : known;
    }

    /** How many variants of the resource are remembered. */
    int rememberedCount(TierKey resource) {
        return useCountsOf(resource).size();
    }
}
