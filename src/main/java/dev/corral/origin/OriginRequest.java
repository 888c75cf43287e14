package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.http.RequestTarget;
import java.util.List;
import java.util.Optional;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;

/**
 * One request as it goes out. Framing is this room's business: Transfer-Encoding is never taken from the fields, and
 * Content-Length only where it agrees with the body.
 *
 * @param method any but CONNECT, case and all
 * @param target raw path and query exactly as received, for instance {@code /a%2Fb?x=1}; one
 *        character for each byte
 * @param fields as they are to be sent, without hop-by-hop fields; a Host among them replaces the origin's own
 * @param body subscribed to at most once, and not at all when nothing is sent. Its own failure is passed on as it is
 */
public record OriginRequest(String method, String target, HeaderFields fields, Optional<Flux<DataBuffer>> body) {

    /** @throws IllegalArgumentException on what can never be sent */
    public OriginRequest {
        if (method.isEmpty() || method.equals("CONNECT")) {
            throw new IllegalArgumentException("no request can be sent with method '" + method + "'");
        }
        if (!target.startsWith("/")) {
            throw new IllegalArgumentException("a target begins with a slash");
        }
        if (!target.chars().allMatch(c -> RequestTarget.isTargetCharacter((char) c))) {
            throw new IllegalArgumentException("a target has neither blanks nor control characters nor a fragment");
        }
        List<String> lengths = fields.values("Content-Length");
        if (lengths.size() > 1 || !lengths.stream().allMatch(length -> length.matches("\\d{1,18}"))) {
            throw new IllegalArgumentException("a body has one length, or none that is known");
        }
    }

    /** The body with its Content-Length, if it has one. */
    Optional<RequestBody> requestBody() {
        return body.map(bytes -> new RequestBody(bytes,
                fields.firstValue("Content-Length").map(Long::parseLong).orElse(RequestBody.UNKNOWN_LENGTH)));
    }

    /** Safe to send twice, by its method (RFC 9110 section 9.2.2), and possible: there is no body that is gone by then. */
    boolean isRepeatable() {
        return body.isEmpty() && (method.equals("GET") || method.equals("HEAD"));
    }
}
