package dev.corral.origin;

import dev.corral.http.HeaderFields;
import java.net.URI;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.util.unit.DataSize;
import reactor.core.publisher.Flux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

@Timeout(30)
class OriginConfigTest {

    private static OriginConfig config(String base) {
        return new OriginConfig("shop", URI.create(base), Duration.ofSeconds(5), DataSize.ofMegabytes(2), 200,
                Duration.ofMinutes(1), Optional.empty());
    }

    @ParameterizedTest
    @CsvSource({"ftp://h/, must begin with http", "//h/, must begin with http", "http:/path, no valid host",
            "http:opaque, no valid host", "http://a_b/, no valid host", "http://u:p@h/, credentials",
            "http://h:0/, has an invalid port", "http://h:70000/, has an invalid port", "http://h/?a=b, neither query",
            "http://h/?, neither query", "http://h/#f, neither query"})
    void invalidOriginUriIsRejected(String base, String reason) {
        assertThatIllegalArgumentException().isThrownBy(() -> config(base))
                .withMessageContaining("origin shop: ")
                .withMessageContaining(reason)
                .satisfies(exception -> assertThat(exception.getMessage()).doesNotContain("u:p"));
    }

    @ParameterizedTest
    @CsvSource({"http://h, /a?b=c, http://h/, /a?b=c", "http://h/, //a, http://h/, //a",
            "HTTP://H:8080/p/, /%2F?, HTTP://H:8080/, /p/%2F?", "https://[::1]:8443/p, /, https://[::1]:8443/, /p/",
            "http://h/p, /|{}^`[]%, http://h/, /p/|{}^`[]%", "http://h/\u00e9, /\u00e9, http://h/, /%C3%A9/\u00e9"})
    void targetIsAppendedToTheBase(String base, String target, String server, String located) {
        assertThat(config(base).serverUri()).hasToString(server);
        assertThat(config(base).prefixedTarget(target)).isEqualTo(located);
    }

    @Test
    void invalidLimitIsRejected() {
        URI base = URI.create("http://h");
        Duration timeout = Duration.ofSeconds(5);
        Duration life = Duration.ofMinutes(1);
        DataSize largest = DataSize.ofMegabytes(2);
        Optional<SslBundle> ssl = Optional.empty();

        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginConfig(" ", base, timeout, largest, 1, life, ssl))
                .withMessage("an origin needs an id");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginConfig("shop", base, Duration.ZERO, largest, 1, life, ssl))
                .withMessage("origin shop: timeout (PT0S) must be between a millisecond and a day");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginConfig("shop", base, timeout, largest, 0, life, ssl))
                .withMessage("origin shop: concurrency (0) must be at least 1");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginConfig("shop", base, timeout, largest, 1, Duration.ofMillis(999), ssl))
                .withMessage("origin shop: connection-max-life (PT0.999S) must be between a second and a day");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginConfig("shop", base, timeout, DataSize.ofGigabytes(2), 1, life, ssl))
                .withMessageContaining("must be between 0 and 1GB");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginConfig("shop", base, timeout, DataSize.ofBytes(-1), 1, life, ssl));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "*", "a", "http://h/", "/a b", "/a\r\nHost: b", "/a\n", "/a\t", "/a\0", "/a#b",
            "/\u20ac",
            "/a\u007f"})
    void invalidTargetIsRejected(String target) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginRequest("GET", target, HeaderFields.EMPTY, Optional.empty()));
    }

    @Test
    void connectMethodIsRejected() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OriginRequest("CONNECT", "/", HeaderFields.EMPTY, Optional.empty()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"-1", "+1", "1, 1", "x", "", "99999999999999999999"})
    void invalidContentLengthIsRejected(String length) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> OriginFixture.postRequest("/", Flux.empty(), "Content-Length", length));
    }

    @Test
    void duplicateContentLengthIsRejected() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> OriginFixture.postRequest("/", Flux.empty(), "Content-Length", "1", "content-length",
                        "1"));
    }
}
