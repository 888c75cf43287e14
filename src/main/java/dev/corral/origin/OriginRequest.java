package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.http.RequestTarget;
import java.util.List;
import java.util.Optional;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;

/**
 * One request to an origin. The framing is decided in this package: Transfer-Encoding is never taken from the fields, and
 * Content-Length only where it agrees with the body.
 *
 * @param method any method but CONNECT, case-sensitive
 * @param target the raw path and query exactly as received, for instance {@code /a%2Fb?x=1}; one character for each byte
 * @param fields the fields to send, without hop-by-hop fields; a Host field replaces the origin's authority
 * @param body subscribed to at most once, and not at all when nothing is sent. Its error is passed on unchanged
 */
public record OriginRequest(String method, String target, HeaderFields fields, Optional<Flux<DataBuffer>> body) {

    /** @throws IllegalArgumentException when the method, the target or the Content-Length cannot be sent */
    public OriginRequest {
        if (method.isEmpty() || method.equals("CONNECT")) {
            throw new IllegalArgumentException("a request cannot be sent with method '" + method + "'");
        }
        if (!target.startsWith("/")) {
            throw new IllegalArgumentException("a target must begin with a slash");
        }
        if (!target.chars().allMatch(c -> RequestTarget.isTargetCharacter((char) c))) {
            throw new IllegalArgumentException("a target must not contain spaces, control characters or a fragment");
        }
        List<String> lengths = fields.values("Content-Length");
        if (lengths.size() > 1 || !lengths.stream().allMatch(length -> length.matches("\\d{1,18}"))) {
            throw new IllegalArgumentException("Content-Length must be absent or a single number");
        }
    }

    /** The body with its Content-Length, or with an unknown length; empty without a body. */
    Optional<RequestBody> requestBody() {
        return body.map(bytes -> new RequestBody(bytes,
                fields.firstValue("Content-Length").map(Long::parseLong).orElse(RequestBody.UNKNOWN_LENGTH)));
    }

    /** Whether the request may be sent twice: its method is safe (RFC 9110 section 9.2.2), and it has no body to be consumed. */
    boolean isRepeatable() {
        return body.isEmpty() && (method.equals("GET") || method.equals("HEAD"));
    }
}
