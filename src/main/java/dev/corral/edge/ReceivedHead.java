package dev.corral.edge;

import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpHeaders;
import java.util.Optional;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import reactor.netty.http.server.HttpServerRequest;

/**
 * The header fields of a request that Spring gets in another form than it came: its target is not legal to {@link java.net.URI},
 * which is all that Spring reads, or it is to be refused. Takes what Spring must not see past it to the controller; no client can
 * send such an object. Used on the event loop of its connection, like any fields of Netty's.
 */
final class ReceivedHead extends DefaultHttpHeaders {

    private final String target;
    private final Optional<Problem> refusal;

    private ReceivedHead(String target, Optional<Problem> refusal) {
        this.target = target;
        this.refusal = refusal;
    }

    /** These fields, of a request for that target. */
    static ReceivedHead of(String target, HttpHeaders fields) {
        var head = new ReceivedHead(target, Optional.empty());
        head.add(fields);
        return head;
    }

    /** A request that must not be served. */
    static ReceivedHead refused(String target, Problem problem) {
        return new ReceivedHead(target, Optional.of(problem));
    }

    /** The target of the request as it came. */
    static String target(HttpServerRequest request) {
        return request.requestHeaders() instanceof ReceivedHead head ? head.target : request.uri();
    }

    /** The path of the target as it came; what is no path is all of it. */
    static String path(ServerHttpRequest request) {
        String target = target(ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request));
        int query = target.indexOf('?');
        return query < 0 ? target : target.substring(0, query);
    }

    /** Whether the request is not to be served. */
    static boolean isRefused(ServerHttpRequest request) {
        return refusal(ServerHttpRequestDecorator.<HttpServerRequest>getNativeRequest(request)).isPresent();
    }

    /** Why the request is not to be served; empty when it is. */
    static Optional<Problem> refusal(HttpServerRequest request) {
        return request.requestHeaders() instanceof ReceivedHead head ? head.refusal : Optional.empty();
    }
}
