package dev.corral.edge;

import dev.corral.http.Authority;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.ReferenceCountUtil;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import reactor.netty.NettyPipeline;

/**
 * Refuses requests that another server on their way could read differently: to two of them, one request may be two. Stands behind
 * Netty's codec, which sees to most of that (lengths that differ or repeat, a length beside a coding, bare line feeds, control
 * characters), and hands on what it refuses as the codec does, so that it gets the same 400 and the end of its connection. One for
 * each connection, on its event loop.
 */
public final class StrictHead extends ChannelInboundHandlerAdapter {

    private static final Pattern ABSOLUTE = Pattern.compile("(?i)(https?)://([^/?#]*).*|[a-z][a-z0-9+.-]*://.*");

    private boolean refused;

    private StrictHead() {}

    /** Guards a connection to a client. */
    public static void guard(Channel channel) {
        // Elsewhere there is no HTTP/1.1 to guard.
        if (channel.pipeline().get(NettyPipeline.HttpTrafficHandler) != null) {
            channel.pipeline().addBefore(NettyPipeline.HttpTrafficHandler, "corral.strict", new StrictHead());
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        if (refused) {
            ReferenceCountUtil.release(message);
            return;
        }
        if (message instanceof HttpRequest request && request.decoderResult().isSuccess()) {
            Optional<String> wrong = wrong(request);
            if (wrong.isPresent()) {
                refused = true;
                ReferenceCountUtil.release(message);
                context.fireChannelRead(refusal(wrong.get()));
                return;
            }
        }
        context.fireChannelRead(message);
    }

    /** What cannot be accepted about it. What can be has one Host from here on, that of its target. */
    private static Optional<String> wrong(HttpRequest request) {
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
        return host(request);
    }

    /** RFC 9112 section 3.2: one Host, and a proper one; of an absolute target the Host is its own (section 3.2.2). */
    private static Optional<String> host(HttpRequest request) {
        List<String> hosts = request.headers().getAll(HttpHeaderNames.HOST);
        boolean some = !hosts.isEmpty() || request.protocolVersion().equals(HttpVersion.HTTP_1_0);
        if (!some || hosts.size() > 1 || hosts.stream().anyMatch(host -> !host.isEmpty() && !Authority.isValid(host))) {
            return Optional.of("not one proper Host");
        }
        if (request.uri().startsWith("/")) {
            return Optional.empty();
        }
        Matcher absolute = ABSOLUTE.matcher(request.uri());
        if (absolute.matches()) {
            String authority = absolute.group(2);
            if (authority == null || !Authority.isValid(authority)) {
                return Optional.of("a target that is not of HTTP");
            }
            request.headers().set(HttpHeaderNames.HOST, authority);
        }
        return Optional.empty();
    }

    private static HttpRequest refusal(String reason) {
        // Of 1.1: after what is no keep-alive Reactor Netty answers no more, not even this.
        var refusal = new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/bad-request",
                Unpooled.EMPTY_BUFFER);
        refusal.setDecoderResult(DecoderResult.failure(new DecoderException(reason)));
        return refusal;
    }
}
