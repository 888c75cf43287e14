package dev.corral.management.security;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

class LoginRateLimiterTest {

    private final AtomicLong now = new AtomicLong();
    private final LoginRateLimiter rateLimiter = new LoginRateLimiter(now::get);

    private void fail(String client, int times) {
        for (int i = 0; i < times; i++) {
            rateLimiter.recordFailure(client);
        }
    }

    private void advance(Duration time) {
        now.addAndGet(time.toNanos());
    }

    @Test
    void failuresBelowLimitAreAllowed() {
        fail("a", LoginRateLimiter.MAX_FAILURES - 1);

        assertThatCode(() -> rateLimiter.checkAllowed("a")).doesNotThrowAnyException();
    }

    @Test
    void lockoutEndsAMinuteAfterFirstFailure() {
        fail("a", 1);
        advance(Duration.ofSeconds(45));
        fail("a", LoginRateLimiter.MAX_FAILURES - 1);

        assertThatThrownBy(() -> rateLimiter.checkAllowed("a")).isInstanceOfSatisfying(
                LoginRateLimiter.TooManyLoginAttemptsException.class,
                limit -> assertThat(limit.retryAfter()).isEqualTo(Duration.ofSeconds(15)));
        assertThatCode(() -> rateLimiter.checkAllowed("b")).doesNotThrowAnyException();
        advance(Duration.ofSeconds(15));
        assertThatCode(() -> rateLimiter.checkAllowed("a")).doesNotThrowAnyException();
    }

    @Test
    void trackedClientsAreBounded() {
        for (int i = 0; i < 50_000; i++) {
            fail("client-" + i, LoginRateLimiter.MAX_FAILURES);
        }

        assertThat(rateLimiter.trackedClients()).isLessThanOrEqualTo(10_000);
    }

    @Test
    void ipv6ClientsShareTheirNetworkKey() throws Exception {
        assertThat(client("2001:db8:1:2::3")).isEqualTo(client("2001:db8:1:2:ffff::9"))
                .isNotEqualTo(client("2001:db8:1:3::3"));
        assertThat(client("192.0.2.1")).isNotEqualTo(client("192.0.2.2")).isEqualTo(client("::ffff:192.0.2.1"));
        assertThat(LoginRateLimiter.clientKey(null))
                .isEqualTo(LoginRateLimiter.clientKey(InetSocketAddress.createUnresolved("x", 1)));
    }

    private static String client(String address) throws Exception {
        return LoginRateLimiter.clientKey(new InetSocketAddress(InetAddress.getByName(address), 1));
    }
}
