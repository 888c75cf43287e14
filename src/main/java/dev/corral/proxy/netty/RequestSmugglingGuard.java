package dev.corral.proxy.netty;

import dev.corral.http.Authority;
import dev.corral.http.Problem;
import dev.corral.http.RequestTarget;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.util.NetUtil;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import reactor.netty.NettyPipeline;

/**
 * Refuses requests that another server on their way could read differently: to two of them, one request may be two. Stands behind
 * Netty's codec, which sees to most of that (lengths that differ or repeat, a length beside a coding, bare line feeds, control
 * characters). What is refused, here or by the codec, becomes a request that the controller answers with a problem, counts and logs
 * like any other refusal; nothing behind it on its connection is read. A body that is malformed ends where that shows, and its
 * connection with the response; what has been sent of it on the way is for the controller to break off. Targets that browsers send and
 * Spring does not take go past it. One for each connection, on its event loop.
 */
public final class RequestSmugglingGuard extends ChannelDuplexHandler {

    /** The event that says that what follows on the connection does not begin as a request. */
    static final Object MALFORMED_REQUEST_LINE = new Object() {
        @Override
        public String toString() {
            return "malformed request line";
        }
    };

    private static final Pattern ABSOLUTE_FORM = Pattern
            .compile("(?is)(https?)://([^/?#]*)(.*)|[a-z][a-z0-9+.-]*://.*");

    private boolean isRejected;
    /** Whether the last request has a body that is malformed. */
    private boolean bodyMalformed;
    private boolean informational;
    private int unanswered;
    private Optional<ReceivedHeaders> chunked = Optional.empty();

    private final boolean closesOnMalformedBody;

    private RequestSmugglingGuard(boolean closesOnBadBody) {
        this.closesOnMalformedBody = closesOnBadBody;
    }

    /** Guards a connection to a client. */
    public static void install(Channel channel) {
        install(channel, false);
    }

    /** Guards a connection of the management port. A body that is malformed ends it without a response: few handlers there read it. */
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
            if (message instanceof HttpObject part && part.decoderResult().isFailure()) {
                isRejected = true;
                ReferenceCountUtil.release(message);
                endMalformedBody(context);
            } else {
                context.fireChannelRead(message);
            }
            return;
        }
        unanswered++;
        Optional<Problem> problem = request.decoderResult().isSuccess()
                ? violation(request).map(Problem::badRequest)
                : Optional.of(toProblem(request.decoderResult().cause()));
        if (problem.isPresent()) {
            isRejected = true;
            HttpRequest refusal = rejectedRequest(request, problem.get());
            ReferenceCountUtil.release(message);
            context.fireChannelRead(refusal);
        } else {
            HttpRequest readable = withReadableTarget(request);
            chunked = Optional.of(readable.headers())
                    .filter(ReceivedHeaders.class::isInstance)
                    .map(ReceivedHeaders.class::cast);
            context.fireChannelRead(readable);
        }
    }

    /** Its reader finds out behind the last piece that was good. Reactor Netty would send an empty 400, to a sent response a second. */
    private void endMalformedBody(ChannelHandlerContext context) {
        bodyMalformed = true;
        if (closesOnMalformedBody || unanswered == 0) {
            var unused = context.close();
            return;
        }
        chunked.ifPresent(ReceivedHeaders::endMalformedBody);
        context.fireChannelRead(LastHttpContent.EMPTY_LAST_CONTENT);
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
        if (message instanceof HttpResponse response) {
            informational = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
            if (bodyMalformed && unanswered == 1 && !informational) {
                response.headers().set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
            }
        }
        ChannelFuture written = context.write(message, promise.unvoid());
        if (message instanceof LastHttpContent && !informational && --unanswered == 0 && bodyMalformed) {
            written.addListener(ChannelFutureListener.CLOSE);
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event != MALFORMED_REQUEST_LINE) {
            context.fireUserEventTriggered(event);
        } else if (!isRejected) {
            isRejected = true;
            unanswered++;
            var none = new DefaultHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/");
            context.fireChannelRead(rejectedRequest(none, Problem.badRequest("a first line that is no request line")));
        }
    }

    /**
     * That a client has reset its connection, or has broken its TLS, is known to Reactor Netty when the connection is closed. Of this it
     * would log an error with its stack wherever a body has no reader yet.
     */
    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        if (cause instanceof IOException
                || (cause instanceof DecoderException && cause.getCause() instanceof IOException)) {
            var unused = context.close();
        } else {
            context.fireExceptionCaught(cause);
        }
    }

    private static Problem toProblem(Throwable cause) {
        return switch (cause) {
            case TooLongHttpLineException line -> Problem.TARGET_TOO_LONG;
            case TooLongHttpHeaderException fields -> Problem.FIELDS_TOO_LARGE;
            default -> Problem.badRequest("a head that is not valid");
        };
    }

    /**
     * The request with a target that Spring can read, and the one it came with for us. That of a chunked body can hear that the body is
     * malformed.
     */
    private static HttpRequest withReadableTarget(HttpRequest request) {
        String target = request.uri();
        String readable = RequestTarget.parse(target).map(RequestTarget::encoded).orElse(target);
        if (readable.equals(target) && !HttpUtil.isTransferEncodingChunked(request)) {
            return request;
        }
        HttpHeaders head = ReceivedHeaders.of(target, request.headers());
        return request instanceof FullHttpRequest full
                ? new DefaultFullHttpRequest(request.protocolVersion(), request.method(), readable, full.content(),
                        head, full.trailingHeaders())
                : new DefaultHttpRequest(request.protocolVersion(), request.method(), readable, head);
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
