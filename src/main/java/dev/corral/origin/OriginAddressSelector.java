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
final class OriginAddressSelector {

    /** How long an address that failed is tried last; then one connection tries it in its turn. As long as nginx's fail_timeout. */
    private static final Duration SUSPECT_DURATION = Duration.ofSeconds(10);

    /** Of several addresses each gets a share of the time for connecting, but not less than a round trip across the world. */
    private static final int MIN_CONNECT_TIMEOUT_MILLIS = 500;

    /** More addresses than any name has: beyond that, what is known of them is forgotten. */
    private static final int MAX_SUSPECTED_ADDRESSES = 256;

    private final int connectBudgetMillis;
    private final LongSupplier nanoTime;
    private final Map<SocketAddress, Long> suspectedUntilNanos = new ConcurrentHashMap<>();
    private volatile int addressCount = 1;

    /** @param budget for connecting to an origin with one address, or to all of several, if they are few */
    OriginAddressSelector(Duration budget, LongSupplier nanoTime) {
        this.connectBudgetMillis = Math.toIntExact(budget.toMillis());
        this.nanoTime = nanoTime;
    }

    /** All the addresses, in the order in which they are to be tried. */
    List<SocketAddress> order(List<? extends SocketAddress> resolved) {
        addressCount = resolved.size();
        var first = new ArrayList<SocketAddress>(resolved.size());
        var last = new ArrayList<SocketAddress>();
        for (SocketAddress address : resolved) {
            (isSuspect(address) ? last : first).add(address);
        }
        first.addAll(last);
        return first;
    }

    /** When the suspicion ends, the first that asks is to try the address, and the others go on avoiding it until it has. */
    private boolean isSuspect(SocketAddress address) {
        Long until = suspectedUntilNanos.get(address);
        if (until == null) {
            return false;
        }
        long now = nanoTime.getAsLong();
        return until - now > 0 || !suspectedUntilNanos.replace(address, until, now + SUSPECT_DURATION.toNanos());
    }

    /** How long to wait for a connection to the next address, in milliseconds. */
    int connectTimeoutMillis() {
        return addressCount <= 1
                ? connectBudgetMillis
                : Math.max(Math.min(MIN_CONNECT_TIMEOUT_MILLIS, connectBudgetMillis),
                        connectBudgetMillis / addressCount);
    }

    /** A connection was had. */
    void onConnected(SocketAddress address) {
        suspectedUntilNanos.remove(address);
    }

    /** A connection was refused, or not had in time. */
    void onConnectFailed(SocketAddress address) {
        if (suspectedUntilNanos.size() >= MAX_SUSPECTED_ADDRESSES) {
            suspectedUntilNanos.clear();
        }
        suspectedUntilNanos.put(address, nanoTime.getAsLong() + SUSPECT_DURATION.toNanos());
    }
}
