package dev.corral.origin;

import io.netty.channel.Channel;
import io.netty.channel.EventLoop;
import java.util.concurrent.TimeUnit;
import reactor.core.publisher.Mono;
import reactor.netty.channel.AbortedException;
import reactor.netty.channel.ChannelOperations;

/**
 * The connection an exchange is on, and which of that connection's requests it is.
 *
 * @param channel the connection itself, which the operations no longer tell when the answer has ended
 * @param operations Reactor Netty's view of this exchange, bound to the connection until the answer has ended
 */
record OriginConnection(Channel channel, ChannelOperations<?, ?> operations, OriginHttpCodec codec,
        long requestNumber) {

    /** The exchange that is about to write its request. On the event loop only. */
    static OriginConnection of(ChannelOperations<?, ?> operations) {
        Channel channel = operations.channel();
        OriginHttpCodec wire = channel.pipeline().get(OriginHttpCodec.class);
        return new OriginConnection(channel, operations, wire, wire.requestsSent() + 1);
    }

    EventLoop eventLoop() {
        return channel.eventLoop();
    }

    /** Whether the connection had served before: it may have died unnoticed since. */
    boolean isReused() {
        return requestNumber > 1;
    }

    /** Whether any byte of the request may have reached the origin. */
    boolean hasSentRequestBytes() {
        return codec.requestsAccepted() >= requestNumber;
    }

    /**
     * Completes when the event loop has looked at the socket once more: fails if the origin turns out to have closed the
     * connection in the meantime, or to have sent what nobody asked for. Before that, a close that has arrived may not have been
     * seen, and a request written then would be lost, or answered by what was said before it.
     */
    Mono<Void> verifyAlive() {
        return Mono.create(sink -> {
            channel.read();
            // From a task, a timer runs after the next look; from the middle of a look, it would run after that same one.
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

    /** Whether any byte of the answer came. */
    boolean hasResponseStarted() {
        return codec.responsesStarted() >= requestNumber;
    }

    /** Whether the answer came to its proper end. */
    boolean isResponseComplete() {
        return codec.responsesCompleted() >= requestNumber;
    }

    /** Closes the connection when this turn of the loop is done, if it is then still this exchange's and no other's. */
    @SuppressWarnings("ReferenceEquality")
    void close() {
        eventLoop().execute(() -> {
            if (ChannelOperations.get(channel) == operations) {
                var unused = channel.close();
            }
        });
    }

    /** Runs it on the event loop: now, when there already. */
    void runOnEventLoop(Runnable step) {
        if (eventLoop().inEventLoop()) {
            step.run();
        } else {
            eventLoop().execute(step);
        }
    }
}
