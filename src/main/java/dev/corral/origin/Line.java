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
record Line(Channel channel, ChannelOperations<?, ?> operations, Wire wire, long number) {

    /** The exchange that is about to write its request. On the event loop only. */
    static Line of(ChannelOperations<?, ?> operations) {
        Channel channel = operations.channel();
        Wire wire = channel.pipeline().get(Wire.class);
        return new Line(channel, operations, wire, wire.sent() + 1);
    }

    EventLoop loop() {
        return channel.eventLoop();
    }

    /** Whether the connection had served before: it may have died unnoticed since. */
    boolean reused() {
        return number > 1;
    }

    /** Whether any byte of the request may have reached the origin. */
    boolean departed() {
        return wire.departed() >= number;
    }

    /**
     * Completes when the event loop has looked at the socket once more: fails if the origin turns out to have closed the
     * connection in the meantime, or to have sent what nobody asked for. Before that, a close that has arrived may not have been
     * seen, and a request written then would be lost, or answered by what was said before it.
     */
    Mono<Void> checked() {
        return Mono.create(sink -> {
            channel.read();
            // From a task, a timer runs after the next look; from the middle of a look, it would run after that same one.
            loop().execute(() -> {
                var unused = loop().schedule(() -> {
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
    boolean answering() {
        return wire.heard() >= number;
    }

    /** Whether the answer came to its proper end. */
    boolean ended() {
        return wire.ended() >= number;
    }

    /** Closes the connection when this turn of the loop is done, if it is then still this exchange's and no other's. */
    @SuppressWarnings("ReferenceEquality")
    void cut() {
        loop().execute(() -> {
            if (ChannelOperations.get(channel) == operations) {
                var unused = channel.close();
            }
        });
    }

    /** Runs it on the event loop: now, when there already. */
    void on(Runnable step) {
        if (loop().inEventLoop()) {
            step.run();
        } else {
            loop().execute(step);
        }
    }
}
