package dev.corral.origin;

import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(30)
@ExtendWith(LeakFree.class)
class WireTest {

    private final AtomicInteger reads = new AtomicInteger();
    private final List<Boolean> activeAtTheEnd = new ArrayList<>();
    private final Wire wire = new Wire();
    private final EmbeddedChannel channel = new EmbeddedChannel(new ChannelOutboundHandlerAdapter() {
        @Override
        public void read(ChannelHandlerContext context) {
            reads.incrementAndGet();
        }
    }, wire, new ChannelInboundHandlerAdapter() {
        @Override
        public void channelRead(ChannelHandlerContext context, Object piece) {
            if (piece instanceof LastHttpContent) {
                activeAtTheEnd.add(context.channel().isActive());
            }
            context.fireChannelRead(piece);
        }
    });

    @AfterEach
    void close() {
        channel.finishAndReleaseAll();
    }

    private void ask() {
        channel.writeOutbound(
                new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/", Unpooled.EMPTY_BUFFER));
        channel.releaseOutbound();
    }

    private void hear(String text) {
        channel.writeInbound(Unpooled.copiedBuffer(text, StandardCharsets.ISO_8859_1));
    }

    @Test
    void aSwallowedInterimAnswerDoesNotUseUpTheRead() {
        channel.config().setAutoRead(false);
        ask();

        hear("HTTP/1.1 103 Early Hints\r\n\r\n");

        assertThat(channel.<Object>readInbound()).isNull();
        assertThat(reads).hasPositiveValue();
    }

    @Test
    void itCountsWhatWentOutWhatBeganAndWhatEnded() {
        ask();
        assertThat(wire.sent()).isEqualTo(1);
        assertThat(wire.heard()).isZero();

        hear("H");
        assertThat(wire.heard()).isEqualTo(1);

        hear("TTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
        assertThat(wire.ended()).isZero();

        hear("k");
        assertThat(wire.ended()).isEqualTo(1);

        ask();
        assertThat(wire.sent()).isEqualTo(2);
        assertThat(wire.heard()).isEqualTo(1);
        channel.releaseInbound();
    }

    @Test
    void aSurplusClosesTheConnectionBeforeTheLastPieceIsHandedOn() {
        ask();

        hear("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");

        assertThat(activeAtTheEnd).containsExactly(false);
        assertThat(channel.<Object>readInbound()).isInstanceOf(HttpResponse.class);
        Object last = channel.readInbound();
        assertThat(last).isInstanceOf(LastHttpContent.class);
        ReferenceCountUtil.release(last);
        assertThat(channel.<Object>readInbound()).isNull();
    }

    @Test
    void bytesNobodyAskedForCloseTheConnection() {
        ask();
        hear("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        channel.releaseInbound();
        assertThat(channel.isActive()).isTrue();

        hear("H");

        assertThat(channel.isActive()).isFalse();
        assertThat(channel.<Object>readInbound()).isNull();
    }

    @Test
    void theEndOfTheConnectionEndsABodyOnlyIfNothingElseDelimitsIt() {
        ask();
        hear("HTTP/1.1 200 OK\r\n\r\nab");
        channel.close().syncUninterruptibly();

        assertThat(wire.ended()).isEqualTo(1);
        channel.releaseInbound();
    }
}
