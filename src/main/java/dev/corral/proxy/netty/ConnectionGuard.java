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
 * Enforces the {@link ConnectionLimits} on a client's HTTP/1.1 connection. It has a handler on each side of Netty's codec. The
 * handler before the codec forwards the received bytes in pieces of at most one request. It holds back the rest while too many
 * requests have no response, so that the client's send buffers fill up in the end. The handler behind the codec sees where requests
 * begin and responses end. A connection that exceeds a time limit is closed. Bytes that the {@link RequestLineScanner} finds
 * malformed do not reach the codec; {@link RequestSmugglingGuard} rejects them. One instance per connection, used on its event
 * loop.
 */
public final class ConnectionGuard extends ChannelDuplexHandler {

    /** Maximum bytes that are forwarded to the codec at once. */
    private static final int MAX_CHUNK_BYTES = 16 * 1024;

    /** Maximum bytes of the requests behind the one in progress: a few requests with long bodies can be many bytes. */
    private static final int MAX_PIPELINED_BYTES = 64 * 1024;

    private static final long UNSET_NANOS = Long.MIN_VALUE;

    private final ConnectionLimits limits;
    private final RequestLineScanner requestLine = new RequestLineScanner();
    private final Deque<ByteBuf> heldBuffers = new ArrayDeque<>();
    /** The bytes of each request without a complete response, the oldest first. */
    private final Deque<int[]> pendingRequestBytes = new ArrayDeque<>();
    /** The sum of {@link #pendingRequestBytes} without its first element. */
    private int pipelinedBytes;
    private boolean readRequested;
    private boolean autoReadSuspended;
    private boolean isForwarding;

    private boolean isInBody;
    /** The bytes of the body that are still missing according to Content-Length. */
    private long remainingBodyBytes;
    private boolean requestStarted;
    private long headStartNanos = UNSET_NANOS;
    /** Since when a read is pending without {@link ConnectionLimits#MIN_BODY_BYTES} of the body having arrived. */
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

    /** Adds the guard to a connection whose pipeline has the HTTP/1.1 handlers. */
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
        // Held bytes alone must not stop reading: the reader of a body requests all of it once, possibly while its first pieces are
        // delivered. It would not learn that auto-read is off.
        if (isFull()) {
            readRequested = true;
            stopReading(context);
        } else {
            isReading = true;
            context.read();
        }
    }

    /** Reactor Netty turns auto-read on once a request has been read. */
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
            if (requestLine.isMalformed()) {
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
                int available = Math.min(first.readableBytes(), MAX_CHUNK_BYTES);
                int count = remainingBodyBytes > 0
                        ? (int) Math.min(remainingBodyBytes, available)
                        : requestLine.read(first, available);
                forwardChunk(context,
                        count < first.readableBytes() ? first.readRetainedSlice(count) : heldBuffers.remove());
                if (requestLine.isMalformed()) {
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

    /**
     * Whether the incoming bytes are the rest of a body whose response is complete: nothing requests them, and the client may go
     * on.
     */
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
            requestLine.onRequestEnd();
        }
        // For a head that begins in the piece in which another request ends, the time starts with the next piece.
        if (isInBody || requestStarted) {
            headStartNanos = UNSET_NANOS;
        } else if (headStartNanos == UNSET_NANOS && !wasInBody) {
            headStartNanos = System.nanoTime();
        }
    }

    /** Forwards held bytes in a later task, because Reactor Netty is still completing a response at this point. */
    private void resume(ChannelHandlerContext context) {
        if (!heldBuffers.isEmpty() || readRequested || autoReadSuspended || isDiscardingBody()) {
            context.executor().execute(() -> {
                if (!context.isRemoved()) {
                    boolean hadHeldBytes = !heldBuffers.isEmpty();
                    forwardHeld(context);
                    if (hadHeldBytes) {
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
            // The delay is not caused by the client: this guard holds back the rest of the head.
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

    /** Measured only while this side reads, because a slow origin must not count against the client. */
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
                    // Otherwise the body of every request but the first would be read without demand and without backpressure.
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
