package dev.corral.edge;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Key;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Which variants of a resource this replica has stored of late, for there must be a bound: clients choose what selects them.
 * Thread-safe; two at once may go over the bound by one.
 */
public final class Variants {

    /** Then the resource is counted anew: what was in use once need not be for ever. */
    private static final Duration COUNTED = Duration.ofMinutes(10);

    // About 1 kB each with a dozen variants. One that falls out is counted anew.
    private static final int RESOURCES = 10_000;

    private final Cache<Key, Set<Key>> stored;

    /** None so far. */
    public Variants(Ticker ticker) {
        // On the caller's thread: to evict is quick.
        this.stored = Caffeine.newBuilder()
                .expireAfterWrite(COUNTED)
                .maximumSize(RESOURCES)
                .ticker(ticker)
                .executor(Runnable::run)
                .build();
    }

    /** Whether this variant may be stored: it has been, or there are fewer than {@code most} of the resource. */
    boolean admit(Key resource, Key variant, int most) {
        Set<Key> variants = stored.get(resource, first -> ConcurrentHashMap.newKeySet());
        return variants.contains(variant) || (variants.size() < most && variants.add(variant));
    }
}
