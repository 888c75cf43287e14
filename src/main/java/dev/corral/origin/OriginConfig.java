package dev.corral.origin;

import java.net.URI;
import java.time.Duration;
import java.util.Optional;

import org.springframework.boot.ssl.SslBundle;
import org.springframework.util.unit.DataSize;

/**
 * The address and the limits of one route's origin.
 *
 * @param id the route's id, for logs and for the name of the connection pool
 * @param baseUri scheme, host and optionally port and a path that precedes every target
 * @param timeout the time from the call to the response head and, for a collected body, to the end of the body; a body that
 *        arrives later than that is streamed. For a streamed body, the longest silence
 * @param maxObjectSize the largest body that is collected; a larger body is streamed
 * @param maxConcurrentRequests the maximum of concurrent exchanges and of open connections
 * @param connectionMaxLifetime the age after which a connection takes no further request, because the origin's name may resolve to
 *        another address by then. The limit of a single connection is up to a quarter shorter, so that connections are not
 *        replaced all at once
 * @param sslBundle keys and trusted certificates for https; empty for the JDK's defaults
 */
public record OriginConfig(String id, URI baseUri, Duration timeout, DataSize maxObjectSize, int maxConcurrentRequests,
        Duration connectionMaxLifetime, Optional<SslBundle> sslBundle) {

    /** @throws IllegalArgumentException that names the route, the value and the violated rule */
    public OriginConfig {
        require(!id.isBlank(), "an origin needs an id");
        require("http".equalsIgnoreCase(baseUri.getScheme()) || "https".equalsIgnoreCase(baseUri.getScheme()),
                "origin " + id + ": " + baseUri + " must begin with http:// or https://");
        require(baseUri.getRawUserInfo() == null, "origin " + id + ": the address must not carry credentials");
        require(baseUri.getHost() != null,
                "origin " + id + ": " + baseUri + " has no valid host (a name of letters, digits, hyphens and dots)");
        require(baseUri.getPort() != 0 && baseUri.getPort() <= 65_535,
                "origin " + id + ": " + baseUri + " has an invalid port");
        require(baseUri.getRawQuery() == null && baseUri.getRawFragment() == null,
                "origin " + id + ": " + baseUri + " must have neither query nor fragment");
        require(timeout.compareTo(Duration.ofMillis(1)) >= 0 && timeout.compareTo(Duration.ofDays(1)) <= 0,
                "origin " + id + ": timeout (" + timeout + ") must be between a millisecond and a day");
        // A collected body is one array; the JVM cannot allocate arrays much larger than this.
        require(!maxObjectSize.isNegative() && maxObjectSize.toBytes() <= 1L << 30,
                "origin " + id + ": max-body (" + maxObjectSize + ") must be between 0 and 1GB");
        require(connectionMaxLifetime.compareTo(Duration.ofSeconds(1)) >= 0
                && connectionMaxLifetime.compareTo(Duration.ofDays(1)) <= 0,
                "origin " + id + ": connection-max-life (" + connectionMaxLifetime
                        + ") must be between a second and a day");
        require(maxConcurrentRequests >= 1,
                "origin " + id + ": concurrency (" + maxConcurrentRequests + ") must be at least 1");
        // A path with characters outside of ASCII is sent percent-encoded.
        baseUri = URI.create(baseUri.toASCIIString());
    }

    /** Host and port as in the base URI: the default for the Host field of a request. */
    String authority() {
        return baseUri.getRawAuthority();
    }

    /** The path of the base URI followed by the target, byte for byte. */
    String prefixedTarget(String target) {
        String path = baseUri.getRawPath();
        return (path.endsWith("/") ? path.substring(0, path.length() - 1) : path) + target;
    }

    /** The address to connect to, without a path; the request target is {@link #prefixedTarget}. */
    URI serverUri() {
        return URI.create(baseUri.getScheme() + "://" + authority() + "/");
    }

    private static void require(boolean condition, String message) {
        if (!condition) {
            throw new IllegalArgumentException(message);
        }
    }
}
