package dev.corral.origin;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelProgressiveFuture;
import io.netty.channel.ChannelProgressiveFutureListener;
import io.netty.channel.ChannelProgressivePromise;
import io.netty.channel.ChannelPromise;
import io.netty.util.concurrent.PromiseNotifier;
import java.net.SocketAddress;
import java.net.SocketException;

/**
 * The handler next to the socket of one connection. Reports which addresses accept connections, and whether the operating system
 * accepted any byte of a request. A request of which no byte was accepted can be sent again, whatever its method.
 */
final class TransportMonitor extends ChannelOutboundHandlerAdapter {

    private final OriginHttpCodec codec;
    private final OriginAddressSelector addressSelector;

    TransportMonitor(OriginHttpCodec codec, OriginAddressSelector addressSelector) {
        this.codec = codec;
        this.addressSelector = addressSelector;
    }

    @Override
    public void connect(ChannelHandlerContext context, SocketAddress remote, SocketAddress local,
            ChannelPromise promise) throws Exception {
        context.channel().config().setConnectTimeoutMillis(addressSelector.connectTimeoutMillis());
        promise.addListener(connected -> {
            if (connected.isSuccess()) {
                addressSelector.onConnected(remote);
            } else if (connected.cause() instanceof SocketException) {
                // Any other failure means that Corral abandoned the connection attempt.
                addressSelector.onConnectFailed(remote);
            }
        });
        super.connect(context, remote, local, promise);
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) throws Exception {
        long number = codec.requestsSent();
        if (codec.requestsAccepted() == number) {
            super.write(context, message, promise);
        } else {
            ChannelProgressivePromise tracked = context.newProgressivePromise();
            tracked.addListener(new WriteProgressListener(number));
            var unused = PromiseNotifier.cascade(tracked, promise);
            super.write(context, message, tracked);
        }
    }

    /** Watches the progress, because a write that fails may have sent a part of the request before. */
    private final class WriteProgressListener implements ChannelProgressiveFutureListener {

        private final long requestNumber;

        WriteProgressListener(long requestNumber) {
            this.requestNumber = requestNumber;
        }

        @Override
        public void operationProgressed(ChannelProgressiveFuture future, long progress, long total) {
            codec.requestsAccepted(requestNumber);
        }

        @Override
        public void operationComplete(ChannelProgressiveFuture future) {
            if (future.isSuccess()) {
                codec.requestsAccepted(requestNumber);
            }
        }
    }
}
