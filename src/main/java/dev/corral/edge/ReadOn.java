package dev.corral.edge;

import io.netty.channel.Channel;
import reactor.netty.Connection;
import reactor.netty.ConnectionObserver;

/**
 * Reads on after each answer. Reactor Netty 1.2.18 may not (reactor-netty issue 4361): a request that had come before the answer
 * to the one before it was done with, and that was then answered at once, left the connection open and unread for ever. To read
 * once more than needed does no harm: one read brings one buffer. To be removed with the first release that has the fix.
 */
public final class ReadOn implements ConnectionObserver {

    @Override
    public void onStateChange(Connection connection, State state) {
        if (state.equals(State.DISCONNECTING)) {
            Channel channel = connection.channel();
            // After what Reactor Netty does at the end of an answer, in this turn of the loop.
            channel.eventLoop().execute(channel::read);
        }
    }
}
