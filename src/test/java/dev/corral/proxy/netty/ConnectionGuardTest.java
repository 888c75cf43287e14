package dev.corral.proxy.netty;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.ReferenceCountUtil;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import reactor.netty.NettyPipeline;

import static org.assertj.core.api.Assertions.assertThat;

/** Requests that a connection pipelines: what is not answered is bounded, and no more is read. */
class ConnectionGuardTest {

    private static final int LIMIT = 4;

    /** 28 bytes, the least that passes for a request with a Host. */
    private static final String SMALL_REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /** Where Reactor Netty would be. */
    private static final class RecordingServerHandler extends ChannelInboundHandlerAdapter {

        final List<String> targets = new ArrayList<>();
        int bodyBytes;

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HttpRequest request) {
                targets.add(request.uri());
            }
            if (message instanceof HttpContent content) {
                bodyBytes += content.content().readableBytes();
            }
            ReferenceCountUtil.release(message);
        }
    }

    private final RecordingServerHandler server = new RecordingServerHandler();
    private EmbeddedChannel channel = new EmbeddedChannel();

    @BeforeEach
    void connect() {
        channel = new EmbeddedChannel();
        channel.config().setAutoRead(false);
        channel.pipeline().addLast(NettyPipeline.HttpCodec, new HttpServerCodec());
        channel.pipeline().addLast(NettyPipeline.HttpTrafficHandler, server);
        var defaults = ConnectionLimits.DEFAULT;
        ConnectionGuard.install(channel,
                new ConnectionLimits(defaults.headTimeout(), defaults.bodyTimeout(), defaults.writeTimeout(), LIMIT));
        channel.read();
    }

    @AfterEach
    void releaseChannel() {
        channel.close().syncUninterruptibly();
        channel.releaseOutbound();
    }

    private void send(String text) {
        channel.writeInbound(Unpooled.copiedBuffer(text, StandardCharsets.ISO_8859_1));
    }

    private void respond(HttpResponseStatus status) {
        channel.writeOutbound(new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, status, Unpooled.EMPTY_BUFFER));
        channel.releaseOutbound();
    }

    @Test
    void noMoreThanTheLimitAreTakenIn() {
        ByteBuf many = Unpooled.copiedBuffer(SMALL_REQUEST.repeat(20_000), StandardCharsets.ISO_8859_1);

        channel.writeInbound(many);

        assertThat(server.targets).hasSize(LIMIT);
        channel.close().syncUninterruptibly();
        assertThat(many.refCnt()).as("what is held goes with the connection").isZero();
    }

    @Test
    void eachResponseLetsMoreRequestsBeRead() {
        int all = 2_000;
        for (int i = 0; i < all; i++) {
            send("GET /" + i + " HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for (int answered = 0; answered < all; answered++) {
            assertThat(server.targets.size() - answered).isBetween(1, LIMIT);
            respond(HttpResponseStatus.OK);
        }

        assertThat(server.targets).hasSize(all);
        assertThat(server.targets).element(1_234).isEqualTo("/1234");
    }

    @Test
    void interimResponseDoesNotCompleteARequest() {
        send(SMALL_REQUEST.repeat(1_000));
        int before = server.targets.size();

        respond(HttpResponseStatus.CONTINUE);
        respond(HttpResponseStatus.EARLY_HINTS);
        assertThat(server.targets).hasSize(before);

        for (int i = 0; i < before; i++) {
            respond(HttpResponseStatus.OK);
        }
        assertThat(server.targets.size()).isGreaterThan(before);
    }

    /** Two requests are few, but not their bytes. */
    @Test
    void longBodyBehindARequestInProgressIsNotRead() {
        send(SMALL_REQUEST + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
        for (int i = 0; i < 100; i++) {
            send("x".repeat(100_000));
        }

        assertThat(server.bodyBytes).isLessThan(100_000);
        // Its own request is now the one in progress, and whoever serves that reads as much as it likes.
        respond(HttpResponseStatus.OK);
        assertThat(server.bodyBytes).isEqualTo(10_000_000);
    }

    @Test
    void bodyOfTheRequestInProgressIsPassedOnAtOnce() {
        send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + "x".repeat(1_000_000));

        assertThat(server.bodyBytes).isEqualTo(1_000_000);
    }

    /** As Reactor Netty leaves it after a request. */
    @Test
    void autoReadStopsAtTheLimitAndResumes() {
        channel.config().setAutoRead(true);
        send(SMALL_REQUEST.repeat(1_000));
        assertThat(channel.config().isAutoRead()).isFalse();
        channel.config().setAutoRead(true);
        assertThat(channel.config().isAutoRead()).as("asked again while it is held back").isFalse();

        for (int answered = 0; answered < server.targets.size(); answered++) {
            respond(HttpResponseStatus.OK);
        }

        assertThat(server.targets).hasSize(1_000);
        assertThat(channel.config().isAutoRead()).isTrue();
    }

    @Test
    void autoReadIsOffForEveryRequestBody() {
        channel.config().setAutoRead(true);
        send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");

        assertThat(channel.config().isAutoRead()).isFalse();
    }

    /** Its reader asks but once for all that comes, in the middle of what has come with the head. */
    @Test
    void aBodyThatIsAskedForWhileItsFirstPiecesAreHandedOnIsReadToItsEnd() {
        channel.pipeline().addBefore(NettyPipeline.HttpTrafficHandler, "reader", new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext context, Object message) {
                if (message instanceof HttpRequest) {
                    context.channel().config().setAutoRead(true);
                }
                context.fireChannelRead(message);
            }
        });

        send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + "x".repeat(3_000));
        assertThat(channel.config().isAutoRead()).isTrue();
        send("x".repeat(3_000));
        assertThat(channel.config().isAutoRead()).isTrue();
        send("x".repeat(3_000));
        assertThat(server.bodyBytes).isEqualTo(9_000);
    }

    /** Its reader begins as soon as the response before it is written, while most of what has come is still held. */
    @Test
    void aBodyThatWasHeldBackIsReadToItsEnd() {
        channel.pipeline().addBefore(NettyPipeline.HttpTrafficHandler, "reader", new ChannelOutboundHandlerAdapter() {
            @Override
            public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
                var unused = context.write(message, promise);
                context.channel().config().setAutoRead(true);
            }
        });
        send(SMALL_REQUEST + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + "x".repeat(200_000));
        assertThat(server.bodyBytes).isLessThan(100_000);

        respond(HttpResponseStatus.OK);

        assertThat(channel.config().isAutoRead()).isTrue();
        send("x".repeat(100_000));
        assertThat(server.bodyBytes).isEqualTo(300_000);
    }

    /** Nobody asks for it, and the client may not hear the response before it has sent all. */
    @Test
    void restOfBodyIsReadAfterAnEarlyResponse() {
        var reads = new AtomicInteger();
        channel.pipeline().addFirst(new ChannelOutboundHandlerAdapter() {
            @Override
            public void read(ChannelHandlerContext context) {
                reads.incrementAndGet();
                context.read();
            }
        });
        send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + "x".repeat(1_000));
        assertThat(reads).as("of a body in progress its reader asks for more").hasValue(0);

        respond(HttpResponseStatus.REQUEST_ENTITY_TOO_LARGE);
        channel.runPendingTasks();
        assertThat(reads).hasValue(1);
        send("x".repeat(1_000));
        assertThat(reads).hasValue(2);
        send("x".repeat(1_000));
        assertThat(reads).as("it has ended").hasValue(2);
        assertThat(server.bodyBytes).isEqualTo(3_000);
    }

    @Test
    void defaultLimitsAreThoseOfCommonServers() {
        assertThat(ConnectionLimits.DEFAULT.headTimeout()).hasSeconds(60);
        assertThat(ConnectionLimits.DEFAULT.bodyTimeout()).hasSeconds(60);
        assertThat(ConnectionLimits.DEFAULT.writeTimeout()).hasSeconds(60);
        assertThat(ConnectionLimits.DEFAULT.maxPipelinedRequests()).isEqualTo(32);
    }
}
