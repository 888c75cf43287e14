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
 * Rejects requests that another server could parse differently (request smuggling). Runs behind Netty's codec, which rejects most
 * of them: different or repeated lengths, a Content-Length beside a Transfer-Encoding, bare line feeds, control characters. A
 * request that this guard or the codec rejects is replaced by one for which the controller sends, counts and logs a problem
 * response, like any other rejection; the rest of the connection's input is discarded. A malformed body ends where the error is
 * detected, and its connection closes after the response; the controller aborts a forwarding that has already begun. Targets that
 * browsers send and Spring does not accept bypass Spring. One instance per connection, used on its event loop.
 */
public final class RequestSmugglingGuard extends ChannelDuplexHandler {

    /** The event that is fired when the next bytes of the connection are not a valid request line. */
    static final Object MALFORMED_REQUEST_LINE = new Object() {
        @Override
        public String toString() {
            return "malformed request line";
        }
    };

    private static final Pattern ABSOLUTE_FORM = Pattern
            .compile("(?is)(https?)://([^/?#]*)(.*)|[a-z][a-z0-9+.-]*://.*");

    private boolean isRejected;
    /** Whether the body of the last request is malformed. */
    private boolean bodyMalformed;
    private boolean informational;
    private int unanswered;
    private Optional<ReceivedHeaders> chunked = Optional.empty();

    private final boolean closesOnMalformedBody;

    private RequestSmugglingGuard(boolean closesOnMalformedBody) {
        this.closesOnMalformedBody = closesOnMalformedBody;
    }

    /** Adds the guard to a client connection of the data port. */
    public static void install(Channel channel) {
        install(channel, false);
    }

    /**
     * Adds the guard to a connection of the management port. A malformed body closes it without a response: few handlers read
     * bodies.
     */
    public static void installOnManagementPort(Channel channel) {
        install(channel, true);
    }

    private static void install(Channel channel, boolean closesOnMalformedBody) {
        // Without this handler, the connection does not use HTTP/1.1.
        if (channel.pipeline().get(NettyPipeline.HttpTrafficHandler) != null) {
            channel.pipeline()
                    .addBefore(NettyPipeline.HttpTrafficHandler, "corral.strict",
                            new RequestSmugglingGuard(closesOnMalformedBody));
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
            HttpRequest rejected = rejectedRequest(request, problem.get());
            ReferenceCountUtil.release(message);
            context.fireChannelRead(rejected);
        } else {
            HttpRequest readable = withReadableTarget(request);
            chunked = Optional.of(readable.headers())
                    .filter(ReceivedHeaders.class::isInstance)
                    .map(ReceivedHeaders.class::cast);
            context.fireChannelRead(readable);
        }
    }

    /**
     * Ends the body after its last valid piece, where its reader detects the error. Reactor Netty would send an empty 400 instead,
     * even after a response that has already been sent.
     */
    private void endMalformedBody(ChannelHandlerContext context) {
        bodyMalformed = true;
        if (closesOnMalformedBody || unanswered == 0) {
            // After the writes that other threads have queued: closing first would release what they are about to send.
            context.executor().execute(() -> {
                var unused = context.close();
            });
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
            var placeholder = new DefaultHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/");
            context.fireChannelRead(rejectedRequest(placeholder, Problem.badRequest("an invalid request line")));
        }
    }

    /**
     * Closes the connection when the client has reset it or has violated TLS. Reactor Netty handles the close. It would otherwise
     * log the error with its stack trace if the request body has no reader yet.
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
            default -> Problem.badRequest("an invalid request head");
        };
    }

    /**
     * The request with a target that Spring can parse; its {@link ReceivedHeaders} keep the received target. A chunked request
     * always gets such headers, so that its body can be marked as malformed.
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

    /**
     * Why the request cannot be accepted, if so. An accepted request has one Host from here on: the one of its absolute target, if
     * any.
     */
    private static Optional<String> violation(HttpRequest request) {
        if (!request.protocolVersion().equals(HttpVersion.HTTP_1_1)
                && !request.protocolVersion().equals(HttpVersion.HTTP_1_0)) {
            // RFC 9112 section 2.3. The response would use that version.
            return Optional.of("an unsupported version of HTTP");
        }
        List<String> codings = request.headers().getAll(HttpHeaderNames.TRANSFER_ENCODING);
        if (!codings.isEmpty() && (codings.size() > 1 || !codings.getFirst().strip().equalsIgnoreCase("chunked"))) {
            // RFC 9112 section 6.1. Netty treats any other coding as chunked, or as none.
            return Optional.of("a Transfer-Encoding other than chunked");
        }
        return hostViolation(request);
    }

    /** RFC 9112 section 3.2: exactly one valid Host. An absolute target replaces it by its own authority (section 3.2.2). */
    private static Optional<String> hostViolation(HttpRequest request) {
        List<String> hosts = request.headers().getAll(HttpHeaderNames.HOST);
        boolean hostPresent = !hosts.isEmpty() || request.protocolVersion().equals(HttpVersion.HTTP_1_0);
        if (!hostPresent || hosts.size() > 1
                || hosts.stream().anyMatch(host -> !host.isEmpty() && !isValidHost(host))) {
            return Optional.of("not exactly one valid Host");
        }
        if (request.uri().startsWith("/")) {
            return targetViolation(request);
        }
        Matcher absolute = ABSOLUTE_FORM.matcher(request.uri());
        if (absolute.matches()) {
            String authority = absolute.group(2);
            if (authority == null || !isValidHost(authority)) {
                return Optional.of("a target that is not an HTTP URI");
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
                : Optional.of("a target with a space, a control character or a fragment");
    }

    /** Always HTTP/1.1: Reactor Netty sends no response to a request that follows one without keep-alive. */
    private static HttpRequest rejectedRequest(HttpRequest request, Problem problem) {
        // The response to a HEAD has no body, so the method is kept if the codec has parsed it.
        HttpMethod method = request.method().equals(HttpMethod.HEAD) ? HttpMethod.HEAD : HttpMethod.GET;
        String uri = RequestTarget.parse(request.uri()).map(RequestTarget::encoded).orElse("/");
        return new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, method, uri, Unpooled.EMPTY_BUFFER,
                ReceivedHeaders.rejected(request.uri(), problem), new DefaultHttpHeaders());
    }
}
