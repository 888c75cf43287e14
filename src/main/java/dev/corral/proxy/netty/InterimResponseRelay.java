package dev.corral.proxy.netty;

import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.http.server.reactive.ServerHttpResponseDecorator;
import reactor.netty.NettyPipeline;
import reactor.netty.http.server.HttpServerResponse;

/**
 * Relays the interim responses to a request's own fetch, such as 103 Early Hints, to its client (RFC 9110 section 15.2). They are
 * never stored, and no other client gets them.
 *
 * <p>Spring and Reactor Netty support only one head per response. The interim response is therefore written directly to the
 * channel, on the connection's event loop and past the codec. Both heads come from the event loop that reads the origin. The write
 * of the final head is queued later and so follows the interim response. HTTP/1.1 only.
 */
public final class InterimResponseRelay implements Consumer<ResponseHead> {

    private final ServerHttpResponse response;

    private InterimResponseRelay(ServerHttpResponse response) {
        this.response = response;
    }

    /** Relays to this response; discards interim responses if the client does not use HTTP/1.1. */
    public static Consumer<ResponseHead> to(ServerHttpResponse response, HttpVersion version) {
        return version.equals(HttpVersion.HTTP_1_1) ? new InterimResponseRelay(response) : interim -> {};
    }

    /** Omits 100 (Continue): it concerns the request body, and the server has already sent it itself. */
    @Override
    public void accept(ResponseHead interim) {
        if (interim.status() > 100 && !response.isCommitted()) {
            HttpServerResponse stack = ServerHttpResponseDecorator.getNativeResponse(response);
            stack.withConnection(connection -> relay(connection.channel(), interim));
        }
    }

    private void relay(Channel channel, ResponseHead interim) {
        channel.eventLoop().execute(() -> {
            ChannelHandlerContext codec = channel.pipeline().context(NettyPipeline.HttpCodec);
            if (codec != null) {
                var unused = codec.writeAndFlush(encode(interim), codec.voidPromise());
            }
        });
    }

    private static ByteBuf encode(ResponseHead interim) {
        var text = new StringBuilder("HTTP/1.1 ").append(HttpResponseStatus.valueOf(interim.status())).append("\r\n");
        for (HeaderFields.FieldLine field : Forwarding.endToEndResponseFields(interim.fields())) {
            if (field.value().chars().noneMatch(c -> c == '\r' || c == '\n' || c == 0)) {
                text.append(field.name()).append(": ").append(field.value()).append("\r\n");
            }
        }
        return Unpooled.copiedBuffer(text.append("\r\n"), StandardCharsets.ISO_8859_1);
    }
}
