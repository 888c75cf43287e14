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
 * The handler next to the socket of one connection. Reports which addresses can be connected to, and whether any byte of a
 * request was accepted by the operating system: a request of which none was can be sent again, whatever its method.
 */
final class TransportMonitor extends ChannelOutboundHandlerAdapter {

    private final OriginHttpCodec codec;
    private final OriginAddressSelector addressSelector;

    TransportMonitor(OriginHttpCodec wire, OriginAddressSelector addresses) {
        this.codec = wire;
        this.addressSelector = addresses;
    }

    @Override
    public void connect(ChannelHandlerContext context, SocketAddress remote, SocketAddress local,
            ChannelPromise promise) throws Exception {
        context.channel().config().setConnectTimeoutMillis(addressSelector.connectTimeoutMillis());
        promise.addListener(connected -> {
            if (connected.isSuccess()) {
                addressSelector.onConnected(remote);
            } else if (connected.cause() instanceof SocketException) {
                // Any other failure is that the connection was given up here.
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

    /** Also a write that fails in the end may have sent a part before. */
    private final class WriteProgressListener implements ChannelProgressiveFutureListener {

        private final long requestNumber;

        WriteProgressListener(long number) {
            this.requestNumber = number;
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
