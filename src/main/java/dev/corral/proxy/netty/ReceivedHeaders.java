package dev.corral.proxy.netty;

import dev.corral.http.Problem;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaders;
import java.util.Optional;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import reactor.netty.http.server.HttpServerRequest;

/**
 * The header fields of a request that Spring gets in another form than received: its target is not valid for {@link java.net.URI},
 * which Spring requires; or the request must be rejected; or its body may turn out to be malformed. This object carries the
 * received target and the rejection past Spring to the controller; no client can send such an object. Used on the event loop of its
 * connection, like all of Netty's header fields.
 */
public final class ReceivedHeaders extends DefaultHttpHeaders {

    private final String target;
    private final Optional<Problem> rejection;
    /** The body's reader may be on another thread. */
    private volatile boolean bodyMalformed;

    private ReceivedHeaders(String target, Optional<Problem> rejection) {
        this.target = target;
        this.rejection = rejection;
    }

    /** The fields of a request for this target. */
    static ReceivedHeaders of(String target, HttpHeaders fields) {
        var head = new ReceivedHeaders(target, Optional.empty());
        head.add(fields);
        return head;
    }

    /** A request that must not be served. */
    static ReceivedHeaders rejected(String target, Problem problem) {
        return new ReceivedHeaders(target, Optional.of(problem));
    }

    /** Marks the body as malformed. Call this before the end of the body is forwarded. */
    void endMalformedBody() {
        bodyMalformed = true;
    }

    /** Whether the body is malformed. The received end of body is then not its real end, and the received part is incomplete. */
    public static boolean isBodyMalformed(ServerHttpRequest request) {
        return ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request)
                .requestHeaders() instanceof ReceivedHeaders head && head.bodyMalformed;
    }

    /** The request target as received. */
    public static String target(HttpServerRequest request) {
        return request.requestHeaders() instanceof ReceivedHeaders head ? head.target : request.uri();
    }

    /** The path of the target as received; the whole target if it is not a path. */
    public static String path(ServerHttpRequest request) {
        String target = target(ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request));
        int query = target.indexOf('?');
        return query < 0 ? target : target.substring(0, query);
    }

    /** Whether the request must be rejected. */
    public static boolean isRejected(ServerHttpRequest request) {
        return rejection(ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request)).isPresent();
    }

    /** Why the request must be rejected; empty if it is to be served. */
    public static Optional<Problem> rejection(HttpServerRequest request) {
        return request.requestHeaders() instanceof ReceivedHeaders head ? head.rejection : Optional.empty();
    }
}
