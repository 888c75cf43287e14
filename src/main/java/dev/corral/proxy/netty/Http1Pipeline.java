package dev.corral.proxy.netty;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import java.util.function.Consumer;
import reactor.netty.NettyPipeline;

/** Finds the moment at which a connection has its HTTP/1.1 handlers and has read nothing yet. */
public final class Http1Pipeline {

    private Http1Pipeline() {}

    /**
     * Runs the action for a new HTTP/1.1 connection, before its first request. With HTTP/2 enabled over TLS, the protocol is known
     * only after its negotiation (ALPN).
     */
    public static void whenReady(Channel channel, Consumer<Channel> action) {
        if (channel.pipeline().get(NettyPipeline.HttpTrafficHandler) != null) {
            action.accept(channel);
        } else if (channel.pipeline().get(NettyPipeline.H2OrHttp11Codec) != null) {
            channel.pipeline()
                    .addAfter(NettyPipeline.H2OrHttp11Codec, "corral.negotiated", new NegotiationListener(action));
        }
    }

    /** Receives the handshake event after Reactor Netty, which has installed the handlers of the protocol by then. */
    private static final class NegotiationListener extends ChannelInboundHandlerAdapter {

        private final Consumer<Channel> action;

        NegotiationListener(Consumer<Channel> action) {
            this.action = action;
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext context, Object event) {
            if (event instanceof SslHandshakeCompletionEvent) {
                if (context.pipeline().get(NettyPipeline.HttpTrafficHandler) != null) {
                    action.accept(context.channel());
                }
                context.pipeline().remove(this);
            }
            context.fireUserEventTriggered(event);
        }
    }
}
