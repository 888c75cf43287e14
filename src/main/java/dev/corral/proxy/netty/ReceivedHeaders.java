package dev.corral.proxy.netty;

import dev.corral.http.Problem;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaders;
import java.util.Optional;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import reactor.netty.http.server.HttpServerRequest;

/**
 * The header fields of a request that Spring gets in another form than it came: its target is not legal to {@link java.net.URI},
 * which is all that Spring reads, or it is to be refused, or its body may prove malformed. Takes what Spring must not see past it to
 * the controller; no client can send such an object. Used on the event loop of its connection, like any fields of Netty's.
 */
public final class ReceivedHeaders extends DefaultHttpHeaders {

    private final String target;
    private final Optional<Problem> rejection;
    /** The body's reader may be on another thread. */
    private volatile boolean bodyMalformed;

    private ReceivedHeaders(String target, Optional<Problem> refusal) {
        this.target = target;
        this.rejection = refusal;
    }

    /** These fields, of a request for that target. */
    static ReceivedHeaders of(String target, HttpHeaders fields) {
        var head = new ReceivedHeaders(target, Optional.empty());
        head.add(fields);
        return head;
    }

    /** A request that must not be served. */
    static ReceivedHeaders rejected(String target, Problem problem) {
        return new ReceivedHeaders(target, Optional.of(problem));
    }

    /** The body is malformed. To be called before its end is handed on. */
    void endMalformedBody() {
        bodyMalformed = true;
    }

    /** Whether the body, whose end has come, is malformed: that is not its end, and what came of it must not be taken for whole. */
    public static boolean isBodyMalformed(ServerHttpRequest request) {
        return ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request)
                .requestHeaders() instanceof ReceivedHeaders head && head.bodyMalformed;
    }

    /** The target of the request as it came. */
    public static String target(HttpServerRequest request) {
        return request.requestHeaders() instanceof ReceivedHeaders head ? head.target : request.uri();
    }

    /** The path of the target as it came; what is no path is all of it. */
    public static String path(ServerHttpRequest request) {
        String target = target(ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request));
        int query = target.indexOf('?');
        return query < 0 ? target : target.substring(0, query);
    }

    /** Whether the request is not to be served. */
    public static boolean isRejected(ServerHttpRequest request) {
        return rejection(ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request)).isPresent();
    }

    /** Why the request is not to be served; empty when it is. */
    public static Optional<Problem> rejection(HttpServerRequest request) {
        return request.requestHeaders() instanceof ReceivedHeaders head ? head.rejection : Optional.empty();
    }
}
