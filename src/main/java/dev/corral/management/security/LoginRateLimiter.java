package dev.corral.management.security;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Ticker;
import java.net.Inet6Address;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.springframework.security.core.AuthenticationException;

/**
 * Counts the failed logins of each client address: after ten within a minute it gets no further try until that minute is over,
 * not even with the right password. Thread-safe; remembers at most 10,000 addresses, about a megabyte.
 */
public final class LoginRateLimiter {

    /** A person mistypes a password a few times; a program that guesses needs thousands of tries. */
    static final int MAX_FAILURES = 10;

    static final Duration FAILURE_WINDOW = Duration.ofMinutes(1);

    private static final int MAX_ADDRESSES = 10_000;

    /** Too many logins failed, or too many wait to be checked. */
    static final class TooManyLoginAttemptsException extends AuthenticationException {

        private static final long serialVersionUID = 1L;

        private final Duration retryAfter;

        TooManyLoginAttemptsException(Duration retryAfter) {
            super("too many failed logins");
            this.retryAfter = retryAfter;
        }

        Duration retryAfter() {
            return retryAfter;
        }
    }

    private final Cache<String, AtomicInteger> failures;

    /** @param ticker tells when a minute is over */
    public LoginRateLimiter(Ticker ticker) {
        // Counting does not write the entry anew: the minute is that of the first failure.
        failures = Caffeine.newBuilder()
                .maximumSize(MAX_ADDRESSES)
                .expireAfterWrite(FAILURE_WINDOW)
                .ticker(ticker)
                .build();
    }

    /** Whoever shares this has one count: an IPv4 address, or the 64 bits of an IPv6 address that one client has to itself. */
    static String clientKey(@Nullable InetSocketAddress remote) {
        if (remote == null || remote.getAddress() == null) {
            return "unknown";
        }
        byte[] address = remote.getAddress().getAddress();
        return HexFormat.of()
                .formatHex(remote.getAddress() instanceof Inet6Address ? Arrays.copyOf(address, 8) : address);
    }

    /** @throws TooManyLoginAttemptsException when this client has failed too often */
    void checkAllowed(String client) {
        AtomicInteger count = failures.getIfPresent(client);
        if (count != null && count.get() >= MAX_FAILURES) {
            throw new TooManyLoginAttemptsException(remainingLockout(client));
        }
    }

    void recordFailure(String client) {
        failures.get(client, first -> new AtomicInteger()).incrementAndGet();
    }

    /** How many addresses are remembered. */
    long trackedClients() {
        failures.cleanUp();
        return failures.estimatedSize();
    }

    private Duration remainingLockout(String client) {
        long passed = failures.policy()
                .expireAfterWrite()
                .map(window -> window.ageOf(client, TimeUnit.MILLISECONDS).orElse(0))
                .orElse(0L);
        return Duration.ofMillis(Math.max(1_000, FAILURE_WINDOW.toMillis() - passed));
    }
}
