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
@ExtendWith(LeakGuard.class)
class OriginHttpCodecTest {

    private final AtomicInteger reads = new AtomicInteger();
    private final List<Boolean> activeAtLastContent = new ArrayList<>();
    private final OriginHttpCodec codec = new OriginHttpCodec();
    private final EmbeddedChannel channel = new EmbeddedChannel(new ChannelOutboundHandlerAdapter() {
        @Override
        public void read(ChannelHandlerContext context) {
            reads.incrementAndGet();
        }
    }, codec, new ChannelInboundHandlerAdapter() {
        @Override
        public void channelRead(ChannelHandlerContext context, Object piece) {
            if (piece instanceof LastHttpContent) {
                activeAtLastContent.add(context.channel().isActive());
            }
            context.fireChannelRead(piece);
        }
    });

    @AfterEach
    void close() {
        channel.finishAndReleaseAll();
    }

    private void sendRequest() {
        channel.writeOutbound(
                new DefaultFullHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/", Unpooled.EMPTY_BUFFER));
        channel.releaseOutbound();
    }

    private void receive(String text) {
        channel.writeInbound(Unpooled.copiedBuffer(text, StandardCharsets.ISO_8859_1));
    }

    @Test
    void skippedInterimResponseTriggersAnotherRead() {
        channel.config().setAutoRead(false);
        sendRequest();

        receive("HTTP/1.1 103 Early Hints\r\n\r\n");

        assertThat(channel.<Object>readInbound()).isNull();
        assertThat(reads).hasPositiveValue();
    }

    @Test
    void requestsAndResponsesAreCounted() {
        sendRequest();
        assertThat(codec.requestsSent()).isEqualTo(1);
        assertThat(codec.responsesStarted()).isZero();

        receive("H");
        assertThat(codec.responsesStarted()).isEqualTo(1);

        receive("TTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
        assertThat(codec.responsesCompleted()).isZero();

        receive("k");
        assertThat(codec.responsesCompleted()).isEqualTo(1);

        sendRequest();
        assertThat(codec.requestsSent()).isEqualTo(2);
        assertThat(codec.responsesStarted()).isEqualTo(1);
        channel.releaseInbound();
    }

    @Test
    void surplusBytesCloseTheConnectionBeforeLastContent() {
        sendRequest();

        receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");

        assertThat(activeAtLastContent).containsExactly(false);
        assertThat(channel.<Object>readInbound()).isInstanceOf(HttpResponse.class);
        Object last = channel.readInbound();
        assertThat(last).isInstanceOf(LastHttpContent.class);
        ReferenceCountUtil.release(last);
        assertThat(channel.<Object>readInbound()).isNull();
    }

    @Test
    void unsolicitedBytesCloseTheConnection() {
        sendRequest();
        receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        channel.releaseInbound();
        assertThat(channel.isActive()).isTrue();

        receive("H");

        assertThat(channel.isActive()).isFalse();
        assertThat(channel.<Object>readInbound()).isNull();
    }

    @Test
    void connectionEndCompletesACloseDelimitedBody() {
        sendRequest();
        receive("HTTP/1.1 200 OK\r\n\r\nab");
        channel.close().syncUninterruptibly();

        assertThat(codec.responsesCompleted()).isEqualTo(1);
        channel.releaseInbound();
    }
}
