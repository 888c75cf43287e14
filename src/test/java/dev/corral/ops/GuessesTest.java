package dev.corral.ops;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

class GuessesTest {

    private final AtomicLong now = new AtomicLong();
    private final Guesses guesses = new Guesses(now::get);

    private void fail(String client, int times) {
        for (int i = 0; i < times; i++) {
            guesses.failed(client);
        }
    }

    private void pass(Duration time) {
        now.addAndGet(time.toNanos());
    }

    @Test
    void aPersonMayMistype() {
        fail("a", Guesses.ALLOWED - 1);

        assertThatCode(() -> guesses.check("a")).doesNotThrowAnyException();
    }

    @Test
    void whoGuessesWaitsUntilTheMinuteOfTheFirstFailureIsOver() {
        fail("a", 1);
        pass(Duration.ofSeconds(45));
        fail("a", Guesses.ALLOWED - 1);

        assertThatThrownBy(() -> guesses.check("a")).isInstanceOfSatisfying(Guesses.TooMany.class,
                limit -> assertThat(limit.retryAfter()).isEqualTo(Duration.ofSeconds(15)));
        assertThatCode(() -> guesses.check("b")).doesNotThrowAnyException();
        pass(Duration.ofSeconds(15));
        assertThatCode(() -> guesses.check("a")).doesNotThrowAnyException();
    }

    @Test
    void itsMemoryIsBounded() {
        for (int i = 0; i < 50_000; i++) {
            fail("client-" + i, Guesses.ALLOWED);
        }

        assertThat(guesses.remembered()).isLessThanOrEqualTo(10_000);
    }

    @Test
    void anIpv6ClientIsItsNetwork() throws Exception {
        assertThat(client("2001:db8:1:2::3")).isEqualTo(client("2001:db8:1:2:ffff::9"))
                .isNotEqualTo(client("2001:db8:1:3::3"));
        assertThat(client("192.0.2.1")).isNotEqualTo(client("192.0.2.2")).isEqualTo(client("::ffff:192.0.2.1"));
        assertThat(Guesses.client(null)).isEqualTo(Guesses.client(InetSocketAddress.createUnresolved("x", 1)));
    }

    private static String client(String address) throws Exception {
        return Guesses.client(new InetSocketAddress(InetAddress.getByName(address), 1));
    }
}
