package dev.corral.edge;

import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.Head;
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
 * Relays the interim answers of one request's own fetch, such as 103 Early Hints, to its client (RFC 9110 section 15.2). They are
 * never stored, and nobody else hears of them.
 *
 * <p>Spring and Reactor Netty know only one head for a response, so it is written before their eyes: on the connection's event
 * loop, past the codec. Both come from the loop that reads the origin, so that the final head, whose write is
 * queued later, comes after it. Only to HTTP/1.1.
 */
final class Interims implements Consumer<Head> {

    private final ServerHttpResponse response;

    private Interims(ServerHttpResponse response) {
        this.response = response;
    }

    /** Relays to that response; to nobody where the client would not understand. */
    static Consumer<Head> to(ServerHttpResponse response, HttpVersion version) {
        return version.equals(HttpVersion.HTTP_1_1) ? new Interims(response) : interim -> {};
    }

    /** 100 is left out: it answers a body, and the server has said it for itself. */
    @Override
    public void accept(Head interim) {
        if (interim.status() > 100 && !response.isCommitted()) {
            HttpServerResponse stack = ServerHttpResponseDecorator.getNativeResponse(response);
            stack.withConnection(connection -> relay(connection.channel(), interim));
        }
    }

    private void relay(Channel channel, Head interim) {
        channel.eventLoop().execute(() -> {
            ChannelHandlerContext codec = channel.pipeline().context(NettyPipeline.HttpCodec);
            if (codec != null) {
                var unused = codec.writeAndFlush(bytes(interim), codec.voidPromise());
            }
        });
    }

    private static ByteBuf bytes(Head interim) {
        var text = new StringBuilder("HTTP/1.1 ").append(HttpResponseStatus.valueOf(interim.status())).append("\r\n");
        for (Fields.Field field : Forwarding.fromOrigin(interim.fields())) {
            if (field.value().chars().noneMatch(c -> c == '\r' || c == '\n' || c == 0)) {
                text.append(field.name()).append(": ").append(field.value()).append("\r\n");
            }
        }
        return Unpooled.copiedBuffer(text.append("\r\n"), StandardCharsets.ISO_8859_1);
    }
}
