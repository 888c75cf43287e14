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
 * Counts the failed logins of each client address. After ten failures within a minute, the address is locked out until that minute
 * is over, even with the right password. Thread-safe. Keeps at most 10,000 addresses, about a megabyte.
 */
public final class LoginRateLimiter {

    /** A person mistypes a password a few times; a guessing program needs thousands of attempts. */
    static final int MAX_FAILURES = 10;

    static final Duration FAILURE_WINDOW = Duration.ofMinutes(1);

    private static final int MAX_ADDRESSES = 10_000;

    /** Too many logins of the address failed, or too many logins are queued for verification. */
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

    /** @param ticker measures the minute */
    public LoginRateLimiter(Ticker ticker) {
        // Counting does not rewrite the entry, so the minute starts with the first failure.
        failures = Caffeine.newBuilder()
                .maximumSize(MAX_ADDRESSES)
                .expireAfterWrite(FAILURE_WINDOW)
                .ticker(ticker)
                .build();
    }

    /** The key under which failures are counted: the IPv4 address, or the first 64 bits of the IPv6 address, which belong to one client. */
    static String clientKey(@Nullable InetSocketAddress remote) {
        if (remote == null || remote.getAddress() == null) {
            return "unknown";
        }
        byte[] address = remote.getAddress().getAddress();
        return HexFormat.of()
                .formatHex(remote.getAddress() instanceof Inet6Address ? Arrays.copyOf(address, 8) : address);
    }

    /** @throws TooManyLoginAttemptsException when the client is locked out */
    void checkAllowed(String client) {
        AtomicInteger count = failures.getIfPresent(client);
        if (count != null && count.get() >= MAX_FAILURES) {
            throw new TooManyLoginAttemptsException(remainingLockout(client));
        }
    }

    void recordFailure(String client) {
        failures.get(client, key -> new AtomicInteger()).incrementAndGet();
    }

    /** How many addresses are remembered. */
    long trackedClients() {
        failures.cleanUp();
        return failures.estimatedSize();
    }

    private Duration remainingLockout(String client) {
        long elapsedMillis = failures.policy()
                .expireAfterWrite()
                .map(window -> window.ageOf(client, TimeUnit.MILLISECONDS).orElse(0))
                .orElse(0L);
        return Duration.ofMillis(Math.max(1_000, FAILURE_WINDOW.toMillis() - elapsedMillis));
    }
}
