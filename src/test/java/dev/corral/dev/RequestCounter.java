package dev.corral.dev;

import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** How many requests came, in all and for each target. Thread-safe. */
final class RequestCounter {

    // A demo shop may run for days behind a crawler; beyond this only the total grows.
    private static final int MAX_TARGETS = 100_000;

    private final AtomicLong total = new AtomicLong();
    private final ConcurrentHashMap<String, AtomicLong> byTarget = new ConcurrentHashMap<>();

    /** Counts one request; answers its number for that target, from 1. */
    long count(String target) {
        total.incrementAndGet();
        AtomicLong known = byTarget.get(target);
        if (known != null) {
            return known.incrementAndGet();
        }
        if (byTarget.size() >= MAX_TARGETS) {
            return 1;
        }
        return byTarget.computeIfAbsent(target, unseen -> new AtomicLong()).incrementAndGet();
    }

    long total() {
        return total.get();
    }

    long countOf(String target) {
        AtomicLong known = byTarget.get(target);
        return known == null ? 0 : known.get();
    }

    Map<String, Long> byTarget() {
        var counts = new TreeMap<String, Long>();
        byTarget.forEach((target, count) -> counts.put(target, count.get()));
        return counts;
    }

    void reset() {
        total.set(0);
        byTarget.clear();
    }
}
