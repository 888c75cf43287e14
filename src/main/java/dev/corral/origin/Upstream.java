package dev.corral.origin;

import java.net.URI;
import java.time.Duration;
import java.util.Optional;

import org.springframework.boot.ssl.SslBundle;
import org.springframework.util.unit.DataSize;

/**
 * Where a route's requests go and within what bounds.
 *
 * @param id the route's, for logs and the connection pool's name
 * @param base scheme, host and optionally port and a path that goes before every target
 * @param timeout from the call to the response's head and, when it is collected, to the end of its body; what comes in later than
 *        that is streamed. Of a streamed body, the longest silence
 * @param maxBody the largest body that is collected; a larger one is streamed
 * @param concurrency how many exchanges may be under way, and connections open, at once
 * @param connectionMaxLife the age beyond which a connection takes no further request: the origin's name may mean another
 *        address by then. Each connection's own is up to a quarter shorter, so that not all are opened at once
 * @param ssl keys and trusted certificates for https; empty: the JDK's
 */
public record Upstream(String id, URI base, Duration timeout, DataSize maxBody, int concurrency,
        Duration connectionMaxLife, Optional<SslBundle> ssl) {

    /** @throws IllegalArgumentException which names the route, the value and the rule it breaks */
    public Upstream {
        require(!id.isBlank(), "an origin needs an id");
        require("http".equalsIgnoreCase(base.getScheme()) || "https".equalsIgnoreCase(base.getScheme()),
                "origin " + id + ": " + base + " must begin with http:// or https://");
        require(base.getRawUserInfo() == null, "origin " + id + ": the address must not carry credentials");
        require(base.getHost() != null,
                "origin " + id + ": " + base + " has no valid host (a name of letters, digits, hyphens and dots)");
        require(base.getPort() != 0 && base.getPort() <= 65_535,
                "origin " + id + ": " + base + " has a port that is none");
        require(base.getRawQuery() == null && base.getRawFragment() == null,
                "origin " + id + ": " + base + " must have neither query nor fragment");
        require(timeout.compareTo(Duration.ofMillis(1)) >= 0 && timeout.compareTo(Duration.ofDays(1)) <= 0,
                "origin " + id + ": timeout (" + timeout + ") must be between a millisecond and a day");
        // The body is one array, and an array much larger than this cannot be had.
        require(!maxBody.isNegative() && maxBody.toBytes() <= 1L << 30,
                "origin " + id + ": max-body (" + maxBody + ") must be between 0 and 1GB");
        require(connectionMaxLife.compareTo(Duration.ofSeconds(1)) >= 0
                && connectionMaxLife.compareTo(Duration.ofDays(1)) <= 0,
                "origin " + id + ": connection-max-life (" + connectionMaxLife
                        + ") must be between a second and a day");
        require(concurrency >= 1, "origin " + id + ": concurrency (" + concurrency + ") must be at least 1");
        // A path in other letters than those of ASCII goes out encoded.
        base = URI.create(base.toASCIIString());
    }

    boolean secure() {
        return "https".equalsIgnoreCase(base.getScheme());
    }

    /** Host and port as the base has them: the Host field of a request that has none of its own. */
    String authority() {
        return base.getRawAuthority();
    }

    /** The target behind the path of the base, byte for byte. */
    String target(String target) {
        String path = base.getRawPath();
        return (path.endsWith("/") ? path.substring(0, path.length() - 1) : path) + target;
    }

    /** Where connections go; what is asked for there is {@link #target}. */
    URI server() {
        return URI.create(base.getScheme() + "://" + authority() + "/");
    }

    private static void require(boolean condition, String otherwise) {
        if (!condition) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
