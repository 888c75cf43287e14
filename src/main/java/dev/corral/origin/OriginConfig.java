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
 * @param baseUri scheme, host and optionally port and a path that goes before every target
 * @param timeout from the call to the response's head and, when it is collected, to the end of its body; what comes in later than
 *        that is streamed. Of a streamed body, the longest silence
 * @param maxObjectSize the largest body that is collected; a larger one is streamed
 * @param maxConcurrentRequests how many exchanges may be under way, and connections open, at once
 * @param connectionMaxLifetime the age beyond which a connection takes no further request: the origin's name may mean another
 *        address by then. Each connection's own is up to a quarter shorter, so that not all are opened at once
 * @param sslBundle keys and trusted certificates for https; empty: the JDK's
 */
public record OriginConfig(String id, URI baseUri, Duration timeout, DataSize maxObjectSize, int maxConcurrentRequests,
        Duration connectionMaxLifetime, Optional<SslBundle> sslBundle) {

    /** @throws IllegalArgumentException which names the route, the value and the rule it breaks */
    public OriginConfig {
        require(!id.isBlank(), "an origin needs an id");
        require("http".equalsIgnoreCase(baseUri.getScheme()) || "https".equalsIgnoreCase(baseUri.getScheme()),
                "origin " + id + ": " + baseUri + " must begin with http:// or https://");
        require(baseUri.getRawUserInfo() == null, "origin " + id + ": the address must not carry credentials");
        require(baseUri.getHost() != null,
                "origin " + id + ": " + baseUri + " has no valid host (a name of letters, digits, hyphens and dots)");
        require(baseUri.getPort() != 0 && baseUri.getPort() <= 65_535,
                "origin " + id + ": " + baseUri + " has a port that is none");
        require(baseUri.getRawQuery() == null && baseUri.getRawFragment() == null,
                "origin " + id + ": " + baseUri + " must have neither query nor fragment");
        require(timeout.compareTo(Duration.ofMillis(1)) >= 0 && timeout.compareTo(Duration.ofDays(1)) <= 0,
                "origin " + id + ": timeout (" + timeout + ") must be between a millisecond and a day");
        // The body is one array, and an array much larger than this cannot be had.
        require(!maxObjectSize.isNegative() && maxObjectSize.toBytes() <= 1L << 30,
                "origin " + id + ": max-body (" + maxObjectSize + ") must be between 0 and 1GB");
        require(connectionMaxLifetime.compareTo(Duration.ofSeconds(1)) >= 0
                && connectionMaxLifetime.compareTo(Duration.ofDays(1)) <= 0,
                "origin " + id + ": connection-max-life (" + connectionMaxLifetime
                        + ") must be between a second and a day");
        require(maxConcurrentRequests >= 1,
                "origin " + id + ": concurrency (" + maxConcurrentRequests + ") must be at least 1");
        // A path in other letters than those of ASCII goes out encoded.
        baseUri = URI.create(baseUri.toASCIIString());
    }

    boolean isSecure() {
        return "https".equalsIgnoreCase(baseUri.getScheme());
    }

    /** Host and port as the base has them: the Host field of a request that has none of its own. */
    String authority() {
        return baseUri.getRawAuthority();
    }

    /** The target behind the path of the base, byte for byte. */
    String prefixedTarget(String target) {
        String path = baseUri.getRawPath();
        return (path.endsWith("/") ? path.substring(0, path.length() - 1) : path) + target;
    }

    /** Where connections go; what is asked for there is {@link #prefixedTarget}. */
    URI serverUri() {
        return URI.create(baseUri.getScheme() + "://" + authority() + "/");
    }

    private static void require(boolean condition, String otherwise) {
        if (!condition) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
