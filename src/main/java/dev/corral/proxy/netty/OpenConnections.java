package dev.corral.proxy.netty;

import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;
import reactor.netty.NettyPipeline;
import reactor.netty.channel.ChannelOperations;

/**
 * The open HTTP/1.1 connections of clients. A replica that shuts down announces it here: after {@link #startDraining()} every
 * response carries {@code Connection: close}, and the server closes the connection after that response (RFC 9112 section 9.6). The
 * client sends its next request on another connection, so no request is lost when the server stops. Thread-safe.
 */
public final class OpenConnections {

    private final ChannelGroup channels = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);
    private final ConnectionCloseHandler closeHandler = new ConnectionCloseHandler();
    private volatile boolean isDraining;

    /** No connections yet. */
    public OpenConnections() {}

    /** Adds a new connection. To be called when its pipeline is complete. */
    public void add(Channel channel) {
        // HTTP/2 has no Connection field; Reactor Netty sends GOAWAY instead.
        if (channel.pipeline().get(NettyPipeline.HttpTrafficHandler) != null) {
            // After it, so that it sees the field and closes the connection once the response is written.
            channel.pipeline().addAfter(NettyPipeline.HttpTrafficHandler, "corral.close-announcement", closeHandler);
            channels.add(channel);
        }
    }

    /** From now on each connection ends with its next response. */
    public void startDraining() {
        isDraining = true;
    }

    /**
     * Closes the connections on which no request is in progress. Each is closed for writing first. What the client sends
     * meanwhile is read and discarded: unread bytes would make the kernel reset the connection, and a client that is
     * reset cannot know whether its last response was complete.
     *
     * @param limit how long to wait for a client to close its side
     * @return completes when these connections are closed, at the latest after the limit
     */
    public Mono<Void> closeIdle(Duration limit) {
        return Flux.fromIterable(channels)
                .flatMap(channel -> Mono.<Void>create(
                        closed -> channel.eventLoop().execute(() -> closeIfIdle(channel, limit, closed))))
                .then();
    }

    /** On the connection's event loop, where its requests begin and end. */
    private static void closeIfIdle(Channel channel, Duration limit, MonoSink<Void> closed) {
        if (ChannelOperations.get(channel) != null) {
            closed.success();
            return;
        }
        channel.closeFuture().addListener(end -> closed.success());
        channel.pipeline().addFirst("corral.discard", new DiscardHandler());
        channel.config().setAutoRead(true);
        SslHandler tls = channel.pipeline().get(SslHandler.class);
        ChannelFuture ready = tls == null ? channel.newSucceededFuture() : tls.closeOutbound();
        ready.addListener(sent -> shutdownOutput(channel));
        var unused = channel.eventLoop().schedule(() -> {
            var unusedToo = channel.close();
        }, limit.toMillis(), TimeUnit.MILLISECONDS);
    }

    private static void shutdownOutput(Channel channel) {
        var unused = channel instanceof DuplexChannel duplex ? duplex.shutdownOutput() : channel.close();
    }

    @ChannelHandler.Sharable
    private final class ConnectionCloseHandler extends ChannelOutboundHandlerAdapter {

        @Override
        public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
            // An interim response (1xx) does not end the exchange.
            if (isDraining && message instanceof HttpResponse response
                    && response.status().codeClass() != HttpStatusClass.INFORMATIONAL) {
                response.headers().set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
            }
            var unused = context.write(message, promise);
        }
    }

    private static final class DiscardHandler extends ChannelInboundHandlerAdapter {

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            ReferenceCountUtil.release(message);
        }
    }
}
