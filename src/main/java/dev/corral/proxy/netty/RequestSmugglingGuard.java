package dev.corral.proxy.netty;

import dev.corral.http.Authority;
import dev.corral.http.Problem;
import dev.corral.http.RequestTarget;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.util.NetUtil;
import io.netty.util.ReferenceCountUtil;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import reactor.netty.NettyPipeline;

/**
 * Refuses requests that another server on their way could read differently: to two of them, one request may be two. Stands behind
 * Netty's codec, which sees to most of that (lengths that differ or repeat, a length beside a coding, bare line feeds, control
 * characters). What is refused, here or by the codec, becomes a request that the controller answers with a problem, counts and logs
 * like any other refusal; nothing behind it on its connection is read. Targets that browsers send and Spring does not take go past
 * it. One for each connection, on its event loop.
 */
public final class RequestSmugglingGuard extends ChannelInboundHandlerAdapter {

    private static final Pattern ABSOLUTE_FORM = Pattern
            .compile("(?is)(https?)://([^/?#]*)(.*)|[a-z][a-z0-9+.-]*://.*");

    private boolean isRejected;

    private final boolean closesOnMalformedBody;

    private RequestSmugglingGuard(boolean closesOnBadBody) {
        this.closesOnMalformedBody = closesOnBadBody;
    }

    /** Guards a connection to a client. */
    public static void install(Channel channel) {
        install(channel, false);
    }

    /**
     * Guards a connection of the management port. A body that is no HTTP ends it without a response: Reactor Netty would send a 400
     * of its own, and Spring, whose handlers often do not read the body, would find its response sent and lose the buffers.
     */
    public static void installOnManagementPort(Channel channel) {
        install(channel, true);
    }

    private static void install(Channel channel, boolean closesOnBadBody) {
        // Elsewhere there is no HTTP/1.1 to guard.
        if (channel.pipeline().get(NettyPipeline.HttpTrafficHandler) != null) {
            channel.pipeline()
                    .addBefore(NettyPipeline.HttpTrafficHandler, "corral.strict",
                            new RequestSmugglingGuard(closesOnBadBody));
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        if (isRejected) {
            ReferenceCountUtil.release(message);
            return;
        }
        if (!(message instanceof HttpRequest request)) {
            if (closesOnMalformedBody && message instanceof HttpObject part && part.decoderResult().isFailure()) {
                isRejected = true;
                ReferenceCountUtil.release(message);
                var unused = context.close();
            } else {
                context.fireChannelRead(message);
            }
            return;
        }
        Optional<Problem> problem = request.decoderResult().isSuccess()
                ? violation(request).map(Problem::badRequest)
                : Optional.of(toProblem(request.decoderResult().cause()));
        if (problem.isPresent()) {
            isRejected = true;
            HttpRequest refusal = rejectedRequest(request, problem.get());
            ReferenceCountUtil.release(message);
            context.fireChannelRead(refusal);
        } else {
            context.fireChannelRead(withReadableTarget(request));
        }
    }

    private static Problem toProblem(Throwable cause) {
        return switch (cause) {
            case TooLongHttpLineException line -> Problem.TARGET_TOO_LONG;
            case TooLongHttpHeaderException fields -> Problem.FIELDS_TOO_LARGE;
            default -> Problem.badRequest("a head that is not valid");
        };
    }

    /** The request with a target that Spring can read, and the one it came with for us. */
    private static HttpRequest withReadableTarget(HttpRequest request) {
        String target = request.uri();
        Optional<String> encoded = RequestTarget.parse(target).map(RequestTarget::encoded);
        if (encoded.isEmpty() || encoded.get().equals(target)) {
            return request;
        }
        HttpHeaders head = ReceivedHeaders.of(target, request.headers());
        return request instanceof FullHttpRequest full
                ? new DefaultFullHttpRequest(request.protocolVersion(), request.method(), encoded.get(), full.content(),
                        head, full.trailingHeaders())
                : new DefaultHttpRequest(request.protocolVersion(), request.method(), encoded.get(), head);
    }

    /** What cannot be accepted about it. What can be has one Host from here on, that of its target. */
    private static Optional<String> violation(HttpRequest request) {
        if (!request.protocolVersion().equals(HttpVersion.HTTP_1_1)
                && !request.protocolVersion().equals(HttpVersion.HTTP_1_0)) {
            // RFC 9112 section 2.3; it would be answered in that version.
            return Optional.of("a version of HTTP that is not spoken here");
        }
        List<String> codings = request.headers().getAll(HttpHeaderNames.TRANSFER_ENCODING);
        if (!codings.isEmpty() && (codings.size() > 1 || !codings.getFirst().strip().equalsIgnoreCase("chunked"))) {
            // RFC 9112 section 6.1. Netty takes any other for chunked, or for none.
            return Optional.of("a Transfer-Encoding other than chunked");
        }
        return hostViolation(request);
    }

    /** RFC 9112 section 3.2: one Host, and a proper one; of an absolute target the Host is its own (section 3.2.2). */
    private static Optional<String> hostViolation(HttpRequest request) {
        List<String> hosts = request.headers().getAll(HttpHeaderNames.HOST);
        boolean some = !hosts.isEmpty() || request.protocolVersion().equals(HttpVersion.HTTP_1_0);
        if (!some || hosts.size() > 1 || hosts.stream().anyMatch(host -> !host.isEmpty() && !isValidHost(host))) {
            return Optional.of("not exactly one proper Host");
        }
        if (request.uri().startsWith("/")) {
            return targetViolation(request);
        }
        Matcher absolute = ABSOLUTE_FORM.matcher(request.uri());
        if (absolute.matches()) {
            String authority = absolute.group(2);
            if (authority == null || !isValidHost(authority)) {
                return Optional.of("a target that is not of HTTP");
            }
            request.headers().set(HttpHeaderNames.HOST, authority);
            String target = absolute.group(3);
            request.setUri(target.startsWith("/") ? target : "/" + target);
        }
        return targetViolation(request);
    }

    private static boolean isValidHost(String authority) {
        return Authority.isValid(authority) && (!authority.startsWith("[")
                || NetUtil.isValidIpV6Address(authority.substring(1, authority.indexOf(']'))));
    }

    private static Optional<String> targetViolation(HttpRequest request) {
        return request.uri().chars().allMatch(c -> RequestTarget.isTargetCharacter((char) c))
                ? Optional.empty()
                : Optional.of("a target with a blank, a control character or a fragment");
    }

    /** Of 1.1: after what is no keep-alive Reactor Netty answers no more, not even this. */
    private static HttpRequest rejectedRequest(HttpRequest request, Problem problem) {
        // A HEAD, if that much is known, has a response without a body.
        HttpMethod method = request.method().equals(HttpMethod.HEAD) ? HttpMethod.HEAD : HttpMethod.GET;
        String uri = RequestTarget.parse(request.uri()).map(RequestTarget::encoded).orElse("/");
        return new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, method, uri, Unpooled.EMPTY_BUFFER,
                ReceivedHeaders.rejected(request.uri(), problem), new DefaultHttpHeaders());
    }
}
