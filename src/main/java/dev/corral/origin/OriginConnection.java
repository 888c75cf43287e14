package dev.corral.origin;

import io.netty.channel.Channel;
import io.netty.channel.EventLoop;
import java.util.concurrent.TimeUnit;
import reactor.core.publisher.Mono;
import reactor.netty.channel.AbortedException;
import reactor.netty.channel.ChannelOperations;

/**
 * The connection of an exchange, and the number of the exchange's request on that connection.
 *
 * @param channel the connection; kept because the operations lose it when the response has ended
 * @param operations Reactor Netty's view of this exchange, bound to the connection until the response has ended
 * @param codec the connection's codec, which counts requests and responses
 * @param requestNumber the number of this request on the connection, from 1
 */
record OriginConnection(Channel channel, ChannelOperations<?, ?> operations, OriginHttpCodec codec,
        long requestNumber) {

    /** For an exchange that is about to write its request. On the event loop only. */
    static OriginConnection of(ChannelOperations<?, ?> operations) {
        Channel channel = operations.channel();
        OriginHttpCodec codec = channel.pipeline().get(OriginHttpCodec.class);
        return new OriginConnection(channel, operations, codec, codec.requestsSent() + 1);
    }

    EventLoop eventLoop() {
        return channel.eventLoop();
    }

    /** Whether an earlier request used this connection: it may have been closed unnoticed since. */
    boolean isReused() {
        return requestNumber > 1;
    }

    /** Whether any byte of the request may have reached the origin. */
    boolean hasSentRequestBytes() {
        return codec.requestsAccepted() >= requestNumber;
    }

    /**
     * Completes when the event loop has read from the socket once more. Fails if the origin has closed the connection in the
     * meantime or has sent unsolicited bytes. Without this read, a close that has already arrived may be unseen; a request written
     * then would be lost, or matched with bytes that were sent before it.
     */
    Mono<Void> verifyAlive() {
        return Mono.create(sink -> {
            channel.read();
            // A timer scheduled from a task runs after the next read; scheduled during a read, it would run after that same read.
            eventLoop().execute(() -> {
                var unused = eventLoop().schedule(() -> {
                    if (channel.isActive()) {
                        sink.success();
                    } else {
                        sink.error(AbortedException.beforeSend());
                    }
                }, 0, TimeUnit.NANOSECONDS);
            });
        });
    }

    /** Whether any byte of the response has arrived. */
    boolean hasResponseStarted() {
        return codec.responsesStarted() >= requestNumber;
    }

    /** Whether the response has arrived completely. */
    boolean isResponseComplete() {
        return codec.responsesCompleted() >= requestNumber;
    }

    /** Closes the connection after the current task of the event loop, unless another exchange uses it by then. */
    @SuppressWarnings("ReferenceEquality")
    void close() {
        eventLoop().execute(() -> {
            if (ChannelOperations.get(channel) == operations) {
                var unused = channel.close();
            }
        });
    }

    /** Runs the step on the event loop: at once if the caller is on the event loop. */
    void runOnEventLoop(Runnable step) {
        if (eventLoop().inEventLoop()) {
            step.run();
        } else {
            eventLoop().execute(step);
        }
    }
}
