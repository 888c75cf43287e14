package dev.corral.origin;

import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;

/**
 * Orders the addresses of one origin for the next connection attempt: an address to which the last connection failed is tried
 * after the others. Thread-safe.
 */
final class OriginAddressSelector {

    /** How long a failed address is tried last. After that, one connection tries it in its usual turn. As nginx's fail_timeout. */
    private static final Duration SUSPECT_DURATION = Duration.ofSeconds(10);

    /** Several addresses share the time for connecting, but each gets at least a round trip across the world. */
    private static final int MIN_CONNECT_TIMEOUT_MILLIS = 500;

    /** Bounds the memory; more addresses than a name has. Beyond that all suspicions are dropped. */
    private static final int MAX_SUSPECTED_ADDRESSES = 256;

    private final int connectBudgetMillis;
    private final LongSupplier nanoTime;
    private final Map<SocketAddress, Long> suspectedUntilNanos = new ConcurrentHashMap<>();
    private volatile int addressCount = 1;

    /** @param connectBudget the time for connecting to a single address, or to all addresses together if they are few */
    OriginAddressSelector(Duration connectBudget, LongSupplier nanoTime) {
        this.connectBudgetMillis = Math.toIntExact(connectBudget.toMillis());
        this.nanoTime = nanoTime;
    }

    /** All addresses, in the order in which a connection tries them. */
    List<SocketAddress> order(List<? extends SocketAddress> resolved) {
        addressCount = resolved.size();
        var ordered = new ArrayList<SocketAddress>(resolved.size());
        var suspects = new ArrayList<SocketAddress>();
        for (SocketAddress address : resolved) {
            (isSuspect(address) ? suspects : ordered).add(address);
        }
        ordered.addAll(suspects);
        return ordered;
    }

    /** When the suspicion expires, one caller gets false and tries the address; the others keep avoiding it until that attempt ends. */
    private boolean isSuspect(SocketAddress address) {
        Long until = suspectedUntilNanos.get(address);
        if (until == null) {
            return false;
        }
        long now = nanoTime.getAsLong();
        return until - now > 0 || !suspectedUntilNanos.replace(address, until, now + SUSPECT_DURATION.toNanos());
    }

    /** The time limit for connecting to the next address, in milliseconds. */
    int connectTimeoutMillis() {
        return addressCount <= 1
                ? connectBudgetMillis
                : Math.max(Math.min(MIN_CONNECT_TIMEOUT_MILLIS, connectBudgetMillis),
                        connectBudgetMillis / addressCount);
    }

    /** A connection to the address was established. */
    void onConnected(SocketAddress address) {
        suspectedUntilNanos.remove(address);
    }

    /** A connection to the address was refused or timed out. */
    void onConnectFailed(SocketAddress address) {
        if (suspectedUntilNanos.size() >= MAX_SUSPECTED_ADDRESSES) {
            suspectedUntilNanos.clear();
        }
        suspectedUntilNanos.put(address, nanoTime.getAsLong() + SUSPECT_DURATION.toNanos());
    }
}
