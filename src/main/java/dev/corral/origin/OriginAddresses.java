package dev.corral.origin;

import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;

/**
 * The addresses of one origin in the order in which a connection is tried: an address to which the last connection failed comes
 * after the others. Thread-safe.
 */
final class OriginAddresses {

    /** How long an address that failed is tried last; then one connection tries it in its turn. As long as nginx's fail_timeout. */
    private static final Duration SUSPICION = Duration.ofSeconds(10);

    /** Of several addresses each gets a share of the time for connecting, but not less than a round trip across the world. */
    private static final int LEAST_MILLIS = 500;

    /** More addresses than any name has: beyond that, what is known of them is forgotten. */
    private static final int MOST = 256;

    private final int budgetMillis;
    private final LongSupplier nanoTime;
    private final Map<SocketAddress, Long> suspectedUntil = new ConcurrentHashMap<>();
    private volatile int count = 1;

    /** @param budget for connecting to an origin with one address, or to all of several, if they are few */
    OriginAddresses(Duration budget, LongSupplier nanoTime) {
        this.budgetMillis = Math.toIntExact(budget.toMillis());
        this.nanoTime = nanoTime;
    }

    /** All the addresses, in the order in which they are to be tried. */
    List<SocketAddress> order(List<? extends SocketAddress> resolved) {
        count = resolved.size();
        var first = new ArrayList<SocketAddress>(resolved.size());
        var last = new ArrayList<SocketAddress>();
        for (SocketAddress address : resolved) {
            (suspect(address) ? last : first).add(address);
        }
        first.addAll(last);
        return first;
    }

    /** When the suspicion ends, the first that asks is to try the address, and the others go on avoiding it until it has. */
    private boolean suspect(SocketAddress address) {
        Long until = suspectedUntil.get(address);
        if (until == null) {
            return false;
        }
        long now = nanoTime.getAsLong();
        return until - now > 0 || !suspectedUntil.replace(address, until, now + SUSPICION.toNanos());
    }

    /** How long to wait for a connection to the next address, in milliseconds. */
    int connectTimeoutMillis() {
        return count <= 1 ? budgetMillis : Math.max(Math.min(LEAST_MILLIS, budgetMillis), budgetMillis / count);
    }

    /** A connection was had. */
    void reached(SocketAddress address) {
        suspectedUntil.remove(address);
    }

    /** A connection was refused, or not had in time. */
    void failed(SocketAddress address) {
        if (suspectedUntil.size() >= MOST) {
            suspectedUntil.clear();
        }
        suspectedUntil.put(address, nanoTime.getAsLong() + SUSPICION.toNanos());
    }
}
