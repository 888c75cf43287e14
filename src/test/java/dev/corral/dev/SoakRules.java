package dev.corral.dev;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.IntStream;

/**
 * The origin's log of a soak, and the rules that every response must follow. Times are {@link System#nanoTime} of this process, which runs
 * the origin and the clients. Thread-safe.
 */
final class SoakRules {

    /** How many violations are told in full; all are counted. */
    static final int MAX_REPORTED = 50;

    /** The margin for what is asked for again before it is stale by the origin's clock, in nanoseconds: a second is the Age's. */
    private static final long FRESHNESS_MARGIN = 1_500_000_000L;

    /** What must hold for one response, as of when its request was sent. */
    record ExpectedVersion(int replica, int key, int minVersion, long fetchedAfter, long sentNanos) {}

    private final int tags;
    private final long freshNanos;
    private final ConcurrentHashMap<Long, Long> arrivals = new ConcurrentHashMap<>();
    private final AtomicIntegerArray versions;
    private final AtomicLongArray lastFetch;
    private final AtomicLongArray purgeRequestedAt;
    private final AtomicLongArray tagPurgeRequestedAt;
    private final AtomicLongArray purged;
    private final AtomicLongArray purgedTags;
    private final List<AtomicIntegerArray> latestVersions;
    private final AtomicLongArray isolatedUntil;
    private final AtomicLong troubledUntil = new AtomicLong(Long.MIN_VALUE);
    private final AtomicInteger violations = new AtomicInteger();
    private final List<String> reported = new ArrayList<>(); // guarded by itself
    private final Map<String, LongAdder> counts = new ConcurrentHashMap<>();

    /**
     * Rules for the keys 0 to {@code keys - 1}, each with the tag {@code key % tags}, for this number of replicas and responses that are
     * fresh for this long.
     */
    SoakRules(int keys, int tags, int replicas, long freshNanos) {
        this.tags = tags;
        this.freshNanos = freshNanos;
        versions = new AtomicIntegerArray(keys);
        lastFetch = longs(keys);
        purgeRequestedAt = longs(keys);
        tagPurgeRequestedAt = longs(tags);
        purged = longs(keys);
        purgedTags = longs(tags);
        latestVersions = IntStream.range(0, replicas).mapToObj(i -> new AtomicIntegerArray(keys)).toList();
        isolatedUntil = longs(replicas);
    }

    /** The origin has been asked for a key; the version of its response, from 1. */
    int fetched(int key, long now) {
        count("origin fetches");
        long before = lastFetch.getAndSet(key, now);
        boolean fresh = before != Long.MIN_VALUE && now - before < freshNanos - FRESHNESS_MARGIN;
        boolean excused = Math.max(purgeRequestedAt.get(key), tagPurgeRequestedAt.get(key % tags)) >= before
                || troubledUntil.get() >= before;
        if (fresh && !excused) {
            count("fetches of a fresh key");
        }
        int version = versions.incrementAndGet(key);
        arrivals.put(id(key, version), now);
        return version;
    }

    /** Before a request for a key is sent to a replica. */
    ExpectedVersion sending(int replica, int key, long now) {
        return new ExpectedVersion(replica, key, latestVersions.get(replica).get(key),
                Math.max(purged.get(key), purgedTags.get(key % tags)), now);
    }

    /** A response that says of itself that it is this version of this key. */
    void received(ExpectedVersion expected, int key, int version, long now) {
        count("shared responses");
        if (key != expected.key) {
            violation("a response for key " + key + " to a request for key " + expected.key);
            return;
        }
        Optional<Long> arrival = Optional.ofNullable(arrivals.get(id(key, version)));
        if (arrival.isEmpty()) {
            violation("version " + version + " of key " + key + ", which the origin has never sent");
            return;
        }
        boolean quiet = isQuiet(expected.sentNanos);
        if (version < expected.minVersion && quiet) {
            violation("version " + version + " of key " + key + " from replica " + expected.replica + " after version "
                    + expected.minVersion);
        }
        if (arrival.get() < expected.fetchedAfter && isolatedUntil.get(expected.replica) < expected.sentNanos) {
            violation("version " + version + " of key " + key + " from replica " + expected.replica + " "
                    + (expected.sentNanos - expected.fetchedAfter) / 1_000_000 + " ms after the purge was asked for");
        }
        latestVersions.get(expected.replica)
                .accumulateAndGet(key, quiet ? version : 0, (old, next) -> next == 0 ? 0 : Math.max(old, next));
        if (now - expected.sentNanos > 1_000_000_000L) {
            count("responses after more than 1 s");
        }
    }

    /** A purge of a key, or a request that invalidates it, is about to be sent. */
    void purgeRequested(int key) {
        purgeRequestedAt.accumulateAndGet(key, System.nanoTime(), Math::max);
    }

    /** A purge of a tag is about to be sent. */
    void tagPurgeRequested(int tag) {
        tagPurgeRequestedAt.accumulateAndGet(tag, System.nanoTime(), Math::max);
    }

    /** A purge that was sent then has been acknowledged by all: nothing fetched before may be served. */
    void purged(int key, long sentNanos) {
        purgeRequested(key);
        purged.accumulateAndGet(key, sentNanos, Math::max);
    }

    /** Likewise, of a tag. */
    void purgedTag(int tag, long sentNanos) {
        tagPurgeRequested(tag);
        purgedTags.accumulateAndGet(tag, sentNanos, Math::max);
    }

    /**
     * Redis, or the network path to it, is disturbed until this time: replicas may have fetched alone, so that one may have a newer version
     * than Redis until both are stale.
     */
    void troubled(long untilNanos) {
        troubledUntil.accumulateAndGet(untilNanos, Math::max);
    }

    /** The trouble has an end, which is then. */
    void troubleEndsAt(long nanos) {
        troubledUntil.set(nanos);
    }

    /** Whether a request that was sent then was sent without any trouble. */
    boolean isQuiet(long sentNanos) {
        return troubledUntil.get() < sentNanos;
    }

    /** A replica is cut off from the fleet until then: it may not have heard of purges. */
    void isolated(int replica, long untilNanos) {
        isolatedUntil.accumulateAndGet(replica, untilNanos, Math::max);
    }

    /** That replica is with the fleet again, and has heard of all purges by then. */
    void rejoinedAt(int replica, long nanos) {
        isolatedUntil.set(replica, nanos);
    }

    void count(String what) {
        counts.computeIfAbsent(what, name -> new LongAdder()).increment();
    }

    long countOf(String what) {
        return Optional.ofNullable(counts.get(what)).map(LongAdder::sum).orElse(0L);
    }

    void violation(String what) {
        violations.incrementAndGet();
        synchronized (reported) {
            if (reported.size() < MAX_REPORTED) {
                reported.add(what);
            }
        }
    }

    int violations() {
        return violations.get();
    }

    /** The first violations, at most {@link #MAX_REPORTED}. */
    List<String> reported() {
        synchronized (reported) {
            return List.copyOf(reported);
        }
    }

    private static long id(int key, int version) {
        return (long) key << 32 | version;
    }

    private static AtomicLongArray longs(int length) {
        return new AtomicLongArray(IntStream.range(0, length).mapToLong(i -> Long.MIN_VALUE).toArray());
    }
}
