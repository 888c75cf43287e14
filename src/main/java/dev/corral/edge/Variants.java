package dev.corral.edge;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Key;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;

/**
 * Which variants of a resource this replica has stored of late, for there must be a bound: clients choose what selects them.
 * Thread-safe.
 */
public final class Variants {

    /** From the first: then the resource is counted anew, for what was in use once need not be for ever. */
    static final Duration COUNTED = Duration.ofMinutes(10);

    /** Variants of all resources together, about 15 MB. A resource that falls out is counted anew. */
    static final int REMEMBERED = 100_000;

    private final Cache<Key, Set<Key>> stored;

    /** None so far. */
    public Variants(Ticker ticker) {
        // On the caller's thread: to evict is quick.
        this.stored = Caffeine.newBuilder()
                .expireAfter(Expiry.<Key, Set<Key>>creating((resource, variants) -> COUNTED))
                .maximumWeight(REMEMBERED)
                .weigher((Key resource, Set<Key> variants) -> variants.size())
                .ticker(ticker)
                .executor(Runnable::run)
                .build();
    }

    /** Whether this variant may be stored: it has been, or there are fewer than {@code most} of the resource. */
    boolean admit(Key resource, Key variant, int most) {
        Set<Key> known = stored.getIfPresent(resource);
        if (known != null && (known.contains(variant) || known.size() >= most)) {
            return known.contains(variant);
        }
        // Written anew, for so it is weighed anew.
        return stored.asMap()
                .merge(resource, Set.of(variant),
                        (before, more) -> before.size() < most ? with(before, variant) : before)
                .contains(variant);
    }

    /** How many variants of the resource are remembered. */
    int remembers(Key resource) {
        Set<Key> known = stored.getIfPresent(resource);
        return known == null ? 0 : known.size();
    }

    private static Set<Key> with(Set<Key> before, Key variant) {
        var after = new HashSet<>(before);
        after.add(variant);
        return Set.copyOf(after);
    }
}
