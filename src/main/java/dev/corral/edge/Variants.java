package dev.corral.edge;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Key;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/**
 * Which variants of a resource this replica has stored of late, and how often it used each: there must be a bound, for clients choose
 * what selects them. Beyond it the least used gives way to the new one, so that nobody can keep out what is in use. Thread-safe.
 */
public final class Variants {

    /** From the first: then the resource is counted anew, for what was in use once need not be for ever. */
    static final Duration COUNTED = Duration.ofMinutes(10);

    /** Variants of all resources together, about 20 MB. A resource that falls out is counted anew. */
    static final int REMEMBERED = 100_000;

    /** @param uses hits since it was stored first */
    private record Use(Key variant, AtomicInteger uses) {}

    /** Of each resource, in the order in which they were stored first. The lists are never changed. */
    private final Cache<Key, List<Use>> stored;

    /** None so far. */
    public Variants(Ticker ticker) {
        // On the caller's thread: to evict is quick.
        this.stored = Caffeine.newBuilder()
                .expireAfter(Expiry.<Key, List<Use>>creating((resource, variants) -> COUNTED))
                .maximumWeight(REMEMBERED)
                .weigher((Key resource, List<Use> variants) -> variants.size())
                .ticker(ticker)
                .executor(Runnable::run)
                .build();
    }

    /**
     * This variant is about to be stored. If there are as many of the resource as may be, the least used one, and of these the oldest,
     * gives way: it is the result, and must be removed.
     *
     * @param most of one resource
     */
    Optional<Key> admit(Key resource, Key variant, int most) {
        if (of(resource, variant).isPresent()) {
            return Optional.empty();
        }
        var removed = new ArrayList<Key>(1);
        // Written anew, for so it is weighed anew.
        stored.asMap().compute(resource, (key, before) -> {
            removed.clear();
            var after = new ArrayList<Use>();
            if (before != null) {
                if (before.stream().anyMatch(use -> use.variant.equals(variant))) {
                    return before;
                }
                after.addAll(before);
            }
            if (after.size() >= most) {
                int least = IntStream.range(0, after.size())
                        .boxed()
                        .min(Comparator.comparingInt(i -> after.get(i).uses.get()))
                        .orElseThrow();
                removed.add(after.remove(least).variant);
            }
            after.add(new Use(variant, new AtomicInteger()));
            return List.copyOf(after);
        });
        return removed.stream().findFirst();
    }

    /** This variant has served a request. */
    void used(Key resource, Key variant) {
        of(resource, variant).ifPresent(use -> use.uses.incrementAndGet());
    }

    private Optional<Use> of(Key resource, Key variant) {
        List<Use> known = stored.getIfPresent(resource);
        if (known == null) {
            return Optional.empty();
        }
        for (Use use : known) {
            if (use.variant.equals(variant)) {
                return Optional.of(use);
            }
        }
        return Optional.empty();
    }

    /** How many variants of the resource are remembered. */
    int remembers(Key resource) {
        List<Use> known = stored.getIfPresent(resource);
        return known == null ? 0 : known.size();
    }
}
