package dev.corral.proxy.netty;

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
 * hands on what came in pieces of one request at most and keeps back the rest while too many requests are unanswered, which in the
 * end fills the client's own buffers; and behind it, where it sees requests begin and responses end. A connection beyond a limit of
 * time is closed. What is no {@link RequestLineScanner} does not reach the codec: {@link RequestSmugglingGuard} refuses it. One for each connection, on
 * its event loop.
 */
public final class ConnectionGuard extends ChannelDuplexHandler {

    /** Bytes handed to the codec at once. */
    private static final int MAX_CHUNK_BYTES = 16 * 1024;

    /** Bytes of requests behind the one in progress: with a long body behind it, few requests are many bytes. */
    private static final int MAX_PIPELINED_BYTES = 64 * 1024;

    private static final long UNSET_NANOS = Long.MIN_VALUE;

    private final ConnectionLimits limits;
    private final RequestLineScanner line = new RequestLineScanner();
    private final Deque<ByteBuf> heldBuffers = new ArrayDeque<>();
    /** The bytes of each request that is not answered, the oldest first. */
    private final Deque<int[]> pendingRequestBytes = new ArrayDeque<>();
    /** The sum of all but the first. */
    private int pipelinedBytes;
    private boolean readRequested;
    private boolean autoReadSuspended;
    private boolean isForwarding;

    private boolean isInBody;
    /** What Content-Length says is still to come. */
    private long remainingBodyBytes;
    private boolean requestStarted;
    private long headStartNanos = UNSET_NANOS;
    /** Since when a read is on its way without enough having come. */
    private long slowBodyStartNanos = UNSET_NANOS;
    private int receivedBodyBytes;
    private boolean isReading;

    private long writeStallStartNanos = UNSET_NANOS;
    private int lastWriteIdentity;
    private long lastWriteProgress;
    private long lastPendingBytes;
    private @Nullable Future<?> timer;
    private @Nullable ChannelHandlerContext guardContext;

    private ConnectionGuard(ConnectionLimits limits) {
        this.limits = limits;
    }

    /** Guards a connection whose pipeline has HTTP/1.1's handlers. */
    public static void install(Channel channel, ConnectionLimits limits) {
        var guard = new ConnectionGuard(limits);
        boolean cleartextHttp2 = channel.pipeline().get(NettyPipeline.H2CUpgradeHandler) != null;
        channel.pipeline()
                .addBefore(cleartextHttp2 ? NettyPipeline.H2CUpgradeHandler : NettyPipeline.HttpCodec,
                        "corral.guard", guard)
                .addBefore(NettyPipeline.HttpTrafficHandler, "corral.guard-messages", guard.new MessageHandler());
    }

    // ---- bytes, before the codec

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        guardContext = context;
        long nanos = limits.checkInterval().toNanos();
        timer = context.executor().scheduleAtFixedRate(() -> checkLimits(context), nanos, nanos, TimeUnit.NANOSECONDS);
    }

    @Override
    public void read(ChannelHandlerContext context) {
        // Not because of what is still held: a body's reader asks once for all of it, maybe in the middle of its first pieces, and
        // would never hear that its connection does not read by itself any more.
        if (isFull()) {
            readRequested = true;
            stopReading(context);
        } else {
            isReading = true;
            context.read();
        }
    }

    /** Reactor Netty lets a connection read by itself once a request has been read. */
    private void stopReading(ChannelHandlerContext context) {
        if (context.channel().config().isAutoRead()) {
            context.channel().config().setAutoRead(false);
            autoReadSuspended = true;
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        isReading = false;
        if (message instanceof ByteBuf bytes) {
            heldBuffers.add(bytes);
            if (line.isMalformed()) {
                releaseHeld();
            }
            forwardHeld(context);
        } else {
            context.fireChannelRead(message);
        }
    }

    private boolean isFull() {
        return pendingRequestBytes.size() >= limits.maxPipelinedRequests() || pipelinedBytes >= MAX_PIPELINED_BYTES;
    }

    private void forwardHeld(ChannelHandlerContext context) {
        if (isForwarding) {
            return;
        }
        isForwarding = true;
        try {
            while (!heldBuffers.isEmpty() && !isFull()) {
                ByteBuf first = heldBuffers.element();
                int most = Math.min(first.readableBytes(), MAX_CHUNK_BYTES);
                int count = remainingBodyBytes > 0 ? (int) Math.min(remainingBodyBytes, most) : line.read(first, most);
                forwardChunk(context,
                        count < first.readableBytes() ? first.readRetainedSlice(count) : heldBuffers.remove());
                if (line.isMalformed()) {
                    releaseHeld();
                    context.fireUserEventTriggered(RequestSmugglingGuard.MALFORMED_REQUEST_LINE);
                }
            }
        } finally {
            isForwarding = false;
        }
        if (isFull()) {
            stopReading(context);
        } else if (autoReadSuspended && !isInBody) {
            autoReadSuspended = false;
            readRequested = false;
            context.channel().config().setAutoRead(true);
        } else if (readRequested || isDiscardingBody()) {
            readRequested = false;
            isReading = true;
            context.read();
        }
    }

    /** What comes is the rest of a body whose request has been answered: nobody asks for it, and a client may send it to its end. */
    private boolean isDiscardingBody() {
        return isInBody && pendingRequestBytes.isEmpty();
    }

    private void forwardChunk(ChannelHandlerContext context, ByteBuf piece) {
        int bytes = piece.readableBytes();
        boolean wasInBody = isInBody;
        requestStarted = false;
        context.fireChannelRead(piece);
        if (!pendingRequestBytes.isEmpty()) {
            pendingRequestBytes.getLast()[0] += bytes;
            pipelinedBytes += pendingRequestBytes.size() > 1 ? bytes : 0;
        }
        if (wasInBody || isInBody) {
            receivedBodyBytes += bytes;
        }
        if (!isInBody && (wasInBody || requestStarted)) {
            line.onRequestEnd();
        }
        // A head that begins in the piece in which another request ends counts from the next one on.
        if (isInBody || requestStarted) {
            headStartNanos = UNSET_NANOS;
        } else if (headStartNanos == UNSET_NANOS && !wasInBody) {
            headStartNanos = System.nanoTime();
        }
    }

    /** Not from within: Reactor Netty is in the middle of ending a response. */
    private void resume(ChannelHandlerContext context) {
        if (!heldBuffers.isEmpty() || readRequested || autoReadSuspended || isDiscardingBody()) {
            context.executor().execute(() -> {
                if (!context.isRemoved()) {
                    boolean some = !heldBuffers.isEmpty();
                    forwardHeld(context);
                    if (some) {
                        context.fireChannelReadComplete();
                    }
                }
            });
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        releaseHeld();
        context.fireChannelInactive();
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext context) {
        releaseHeld();
        Future<?> running = timer;
        if (running != null) {
            running.cancel(false);
        }
    }

    private void releaseHeld() {
        heldBuffers.forEach(ByteBuf::release);
        heldBuffers.clear();
    }

    // ---- time

    private void checkLimits(ChannelHandlerContext context) {
        long now = System.nanoTime();
        if (headStartNanos != UNSET_NANOS && isFull()) {
            // Not the client's fault: the rest of the head is kept back here.
            headStartNanos = now;
        }
        if (isExceeded(headStartNanos, limits.headTimeout().toNanos(), now) || isBodyTooSlow(now)
                || isWriteStalled(context.channel(), now)) {
            var unused = context.close();
        }
    }

    private static boolean isExceeded(long since, long limit, long now) {
        return since != UNSET_NANOS && now - since >= limit;
    }

    /** Only while this side reads: that an origin takes its time is not the client's fault. */
    private boolean isBodyTooSlow(long now) {
        if (!isInBody || !isReading || receivedBodyBytes >= ConnectionLimits.MIN_BODY_BYTES) {
            slowBodyStartNanos = UNSET_NANOS;
            receivedBodyBytes = 0;
        } else if (slowBodyStartNanos == UNSET_NANOS) {
            slowBodyStartNanos = now;
        }
        return isExceeded(slowBodyStartNanos, limits.bodyTimeout().toNanos(), now);
    }

    private boolean isWriteStalled(Channel channel, long now) {
        ChannelOutboundBuffer outbound = channel.unsafe().outboundBuffer();
        if (outbound == null || outbound.totalPendingWriteBytes() == 0) {
            writeStallStartNanos = UNSET_NANOS;
            return false;
        }
        int first = System.identityHashCode(outbound.current());
        boolean moved = writeStallStartNanos == UNSET_NANOS || first != lastWriteIdentity
                || outbound.currentProgress() != lastWriteProgress
                || outbound.totalPendingWriteBytes() < lastPendingBytes;
        lastWriteIdentity = first;
        lastWriteProgress = outbound.currentProgress();
        lastPendingBytes = outbound.totalPendingWriteBytes();
        if (moved) {
            writeStallStartNanos = now;
        }
        return isExceeded(writeStallStartNanos, limits.writeTimeout().toNanos(), now);
    }

    // ---- messages, behind the codec

    private final class MessageHandler extends ChannelDuplexHandler {

        private boolean isInformational;

        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HttpRequest request) {
                remainingBodyBytes = contentLength(request);
                if (remainingBodyBytes > 0 || HttpUtil.isTransferEncodingChunked(request)) {
                    // Else the body of any but the first request would be read even if nobody wants it, and as fast as it comes.
                    context.channel().config().setAutoRead(false);
                    autoReadSuspended = false;
                }
                requestStarted = true;
                isInBody = true;
                receivedBodyBytes = 0;
                pendingRequestBytes.add(new int[1]);
            }
            if (message instanceof HttpContent content) {
                remainingBodyBytes -= content.content().readableBytes();
            }
            if (message instanceof LastHttpContent) {
                isInBody = false;
                remainingBodyBytes = 0;
            }
            context.fireChannelRead(message);
        }

        @Override
        public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
            if (message instanceof HttpResponse response) {
                isInformational = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
            }
            if (message instanceof LastHttpContent && !isInformational) {
                responseCompleted();
            }
            var unused = context.write(message, promise);
        }

        private static long contentLength(HttpRequest request) {
            return request.decoderResult().isFailure() || HttpUtil.isTransferEncodingChunked(request)
                    ? 0
                    : HttpUtil.getContentLength(request, 0L);
        }

        private void responseCompleted() {
            pendingRequestBytes.poll();
            int[] next = pendingRequestBytes.peek();
            pipelinedBytes -= next == null ? 0 : next[0];
            ChannelHandlerContext guard = guardContext;
            if (guard != null) {
                resume(guard);
            }
        }
    }
}
