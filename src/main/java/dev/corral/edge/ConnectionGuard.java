package dev.corral.edge;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import reactor.netty.NettyPipeline;

/**
 * Holds a client's HTTP/1.1 connection to its {@link ConnectionLimits}. Stands on both sides of Netty's codec: before it, where it
 * hands on what came in small pieces and keeps back the rest while too many requests are unanswered, which in the end fills the
 * client's own buffers; and behind it, where it sees requests begin and responses end. A connection beyond a limit of time is
 * closed. One for each connection, on its event loop.
 */
public final class ConnectionGuard extends ChannelDuplexHandler {

    /**
     * Bytes handed to the codec at once: at 16 bytes, the least that passes for a request, 64 requests can come in beyond the limit.
     * Netty's codec closes a connection with more than 128.
     */
    private static final int PIECE = 1024;

    /** The same for bytes that are known to be of a body. */
    private static final int BODY_PIECE = 16 * 1024;

    /** Bytes of requests behind the one in progress: with a long body behind it, few requests are many bytes. */
    private static final int MOST_AHEAD = 64 * 1024;

    private static final long NEVER = Long.MIN_VALUE;

    private final ConnectionLimits limits;
    private final Deque<ByteBuf> held = new ArrayDeque<>();
    /** The bytes of each request that is not answered, the oldest first. */
    private final Deque<int[]> unanswered = new ArrayDeque<>();
    /** The sum of all but the first. */
    private int ahead;
    private boolean readWanted;
    private boolean autoReadWanted;
    private boolean handingOn;

    private boolean inBody;
    /** What Content-Length says is still to come. */
    private long bodyLeft;
    private boolean requestSeen;
    private long headSince = NEVER;
    /** Since when a read is on its way without enough having come. */
    private long bodySince = NEVER;
    private int bodyBytes;
    private boolean reading;

    private long stalledSince = NEVER;
    private int current;
    private long progress;
    private long pending;
    private @Nullable Future<?> timer;
    private @Nullable ChannelHandlerContext guardContext;

    private ConnectionGuard(ConnectionLimits limits) {
        this.limits = limits;
    }

    /** Guards a connection whose pipeline has HTTP/1.1's handlers. */
    public static void guard(Channel channel, ConnectionLimits limits) {
        var guard = new ConnectionGuard(limits);
        boolean cleartextHttp2 = channel.pipeline().get(NettyPipeline.H2CUpgradeHandler) != null;
        channel.pipeline()
                .addBefore(cleartextHttp2 ? NettyPipeline.H2CUpgradeHandler : NettyPipeline.HttpCodec,
                        "corral.guard", guard)
                .addBefore(NettyPipeline.HttpTrafficHandler, "corral.guard-messages", guard.new Messages());
    }

    // ---- bytes, before the codec

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        guardContext = context;
        long nanos = limits.interval().toNanos();
        timer = context.executor().scheduleAtFixedRate(() -> look(context), nanos, nanos, TimeUnit.NANOSECONDS);
    }

    @Override
    public void read(ChannelHandlerContext context) {
        if (blocked()) {
            readWanted = true;
            stopReading(context);
        } else {
            reading = true;
            context.read();
        }
    }

    private boolean blocked() {
        return !held.isEmpty() || full();
    }

    /** Reactor Netty lets a connection read by itself once a request has been read. */
    private void stopReading(ChannelHandlerContext context) {
        if (context.channel().config().isAutoRead()) {
            context.channel().config().setAutoRead(false);
            autoReadWanted = true;
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        reading = false;
        if (message instanceof ByteBuf bytes) {
            held.add(bytes);
            handOn(context);
        } else {
            context.fireChannelRead(message);
        }
    }

    private boolean full() {
        return unanswered.size() >= limits.pipelined() || ahead >= MOST_AHEAD;
    }

    private void handOn(ChannelHandlerContext context) {
        if (handingOn) {
            return;
        }
        handingOn = true;
        try {
            while (!held.isEmpty() && !full()) {
                ByteBuf first = held.element();
                int most = (int) Math.max(PIECE, Math.min(BODY_PIECE, bodyLeft));
                ByteBuf piece = first.readableBytes() > most ? first.readRetainedSlice(most) : held.remove();
                handOn(context, piece);
            }
        } finally {
            handingOn = false;
        }
        if (blocked()) {
            stopReading(context);
        } else if (autoReadWanted && !inBody) {
            autoReadWanted = false;
            readWanted = false;
            context.channel().config().setAutoRead(true);
        } else if (readWanted || isRest()) {
            readWanted = false;
            reading = true;
            context.read();
        }
    }

    /** What comes is the rest of a body whose request has been answered: nobody asks for it, and a client may send it to its end. */
    private boolean isRest() {
        return inBody && unanswered.isEmpty();
    }

    private void handOn(ChannelHandlerContext context, ByteBuf piece) {
        int bytes = piece.readableBytes();
        boolean wasInBody = inBody;
        requestSeen = false;
        context.fireChannelRead(piece);
        if (!unanswered.isEmpty()) {
            unanswered.getLast()[0] += bytes;
            ahead += unanswered.size() > 1 ? bytes : 0;
        }
        if (wasInBody || inBody) {
            bodyBytes += bytes;
        }
        // A head that begins in the piece in which another request ends counts from the next one on.
        if (inBody || requestSeen) {
            headSince = NEVER;
        } else if (headSince == NEVER && !wasInBody) {
            headSince = System.nanoTime();
        }
    }

    /** Not from within: Reactor Netty is in the middle of ending a response. */
    private void resume(ChannelHandlerContext context) {
        if (!held.isEmpty() || readWanted || autoReadWanted || isRest()) {
            context.executor().execute(() -> {
                if (!context.isRemoved()) {
                    boolean some = !held.isEmpty();
                    handOn(context);
                    if (some) {
                        context.fireChannelReadComplete();
                    }
                }
            });
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        drop();
        context.fireChannelInactive();
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext context) {
        drop();
        Future<?> running = timer;
        if (running != null) {
            running.cancel(false);
        }
    }

    private void drop() {
        held.forEach(ByteBuf::release);
        held.clear();
    }

    // ---- time

    private void look(ChannelHandlerContext context) {
        long now = System.nanoTime();
        if (headSince != NEVER && blocked()) {
            // Not the client's fault: the rest of the head is kept back here.
            headSince = now;
        }
        if (over(headSince, limits.head().toNanos(), now) || bodyIsLate(now) || writeStalls(context.channel(), now)) {
            var unused = context.close();
        }
    }

    private static boolean over(long since, long limit, long now) {
        return since != NEVER && now - since >= limit;
    }

    /** Only while this side reads: that an origin takes its time is not the client's fault. */
    private boolean bodyIsLate(long now) {
        if (!inBody || !reading || bodyBytes >= ConnectionLimits.LEAST_BODY) {
            bodySince = NEVER;
            bodyBytes = 0;
        } else if (bodySince == NEVER) {
            bodySince = now;
        }
        return over(bodySince, limits.body().toNanos(), now);
    }

    private boolean writeStalls(Channel channel, long now) {
        ChannelOutboundBuffer outbound = channel.unsafe().outboundBuffer();
        if (outbound == null || outbound.totalPendingWriteBytes() == 0) {
            stalledSince = NEVER;
            return false;
        }
        int first = System.identityHashCode(outbound.current());
        boolean moved = stalledSince == NEVER || first != current
                || outbound.currentProgress() != progress || outbound.totalPendingWriteBytes() < pending;
        current = first;
        progress = outbound.currentProgress();
        pending = outbound.totalPendingWriteBytes();
        if (moved) {
            stalledSince = now;
        }
        return over(stalledSince, limits.write().toNanos(), now);
    }

    // ---- messages, behind the codec

    private final class Messages extends ChannelDuplexHandler {

        private boolean informational;

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HttpRequest request) {
                bodyLeft = length(request);
                if (bodyLeft > 0 || HttpUtil.isTransferEncodingChunked(request)) {
                    // Else the body of any but the first request would be read even if nobody wants it, and as fast as it comes.
                    context.channel().config().setAutoRead(false);
                    autoReadWanted = false;
                }
                requestSeen = true;
                inBody = true;
                bodyBytes = 0;
                unanswered.add(new int[1]);
            }
            if (message instanceof HttpContent content) {
                bodyLeft -= content.content().readableBytes();
            }
            if (message instanceof LastHttpContent) {
                inBody = false;
                bodyLeft = 0;
            }
            context.fireChannelRead(message);
        }

        @Override
        public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
            if (message instanceof HttpResponse response) {
                informational = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
            }
            if (message instanceof LastHttpContent && !informational) {
                answered();
            }
            var unused = context.write(message, promise);
        }

        private static long length(HttpRequest request) {
            return request.decoderResult().isFailure() || HttpUtil.isTransferEncodingChunked(request)
                    ? 0
                    : HttpUtil.getContentLength(request, 0L);
        }

        private void answered() {
            unanswered.poll();
            int[] next = unanswered.peek();
            ahead -= next == null ? 0 : next[0];
            ChannelHandlerContext guard = guardContext;
            if (guard != null) {
                resume(guard);
            }
        }
    }
}
