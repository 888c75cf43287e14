package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.CombinedChannelDuplexHandler;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.DecoderResult;
import io.netty.handler.codec.PrematureChannelClosureException;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMessage;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpRequestEncoder;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseDecoder;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.netty.handler.ssl.SslHandler;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * HTTP/1.1 on one connection to an origin, one request after the other. Replaces Netty's client codec and is stricter where a
 * shared cache must be:
 * <ul>
 * <li>Unsolicited bytes close the connection. Left unread, they would be taken for the response to the next request.
 * <li>Interim responses, any number of them, end here and are passed to a listener. Reactor Netty handles only 100 so; it takes any
 * other for the final response and leaves the real one unread on the connection.
 * <li>A response whose end is ambiguous fails with {@link MalformedResponseException}: a Transfer-Encoding other than chunked, both
 * Transfer-Encoding and Content-Length, an upgrade. (Netty itself rejects differing or repeated lengths and bare line feeds.)
 * <li>It numbers requests and responses, which tells whether a connection was new, whether a response began, and whether it was
 * complete.
 * </ul>
 * Runs on the connection's event loop; the numbers may be read by any thread.
 */
final class OriginHttpCodec extends CombinedChannelDuplexHandler<HttpResponseDecoder, HttpRequestEncoder> {

    /** The response is not valid HTTP/1.1, or its framing is ambiguous. */
    static final class MalformedResponseException extends DecoderException {

        private static final long serialVersionUID = 1L;

        MalformedResponseException(String message) {
            super(message);
        }

        MalformedResponseException(Throwable cause) {
            super(cause);
        }
    }

    private static final HttpDecoderConfig DECODER_CONFIG = new HttpDecoderConfig()
            .setMaxInitialLineLength(8 * 1024)
            // Node.js rejects header sections of more than 16 KB, nginx by default of more than 4 or 8 KB: no origin needs more.
            .setMaxHeaderSize(64 * 1024)
            // The size of one socket read: larger pieces do not occur, and each smaller piece would cost a signal.
            .setMaxChunkSize(64 * 1024);

    // Confined to the event loop.
    private boolean isAwaitingResponse;
    private boolean isHeadRequest;
    private boolean hasReceivedCloseNotify;
    private ResponseHead responseHead = new ResponseHead(0, HeaderFields.EMPTY);
    private Consumer<ResponseHead> interimListener = interim -> {};
    private String requestTarget = "";

    private volatile long requestsSent;
    private volatile long requestsAccepted;
    private volatile long responsesStarted;
    private volatile long responsesCompleted;

    OriginHttpCodec() {
        init(new ResponseDecoder(), new RequestEncoder());
    }

    /** The number of requests sent on this connection. */
    long requestsSent() {
        return requestsSent;
    }

    /** The number of the last request of which the operating system accepted a byte, so that it may have reached the origin. */
    long requestsAccepted() {
        return requestsAccepted;
    }

    /** Records that the operating system accepted a byte of that request. On the event loop only. */
    void requestsAccepted(long number) {
        requestsAccepted = number;
    }

    /** The number of the last request for which at least one byte of a response arrived. */
    long responsesStarted() {
        return responsesStarted;
    }

    /** The number of the last request whose response arrived completely. */
    long responsesCompleted() {
        return responsesCompleted;
    }

    /** The head of the latest final response. On the event loop only. */
    ResponseHead responseHead() {
        return responseHead;
    }

    /** Sets the receiver of the interim responses to the next request. On the event loop only. */
    void interimListener(Consumer<ResponseHead> listener) {
        interimListener = listener;
    }

    /**
     * Sets the target of the next request, one character for each byte. On the event loop only. It bypasses the request's URI,
     * which Reactor Netty parses as a {@link java.net.URI} and Netty would write as UTF-8.
     */
    void requestTarget(String target) {
        requestTarget = target;
    }

    private final class RequestEncoder extends HttpRequestEncoder {

        @Override
        protected void encodeInitialLine(ByteBuf line, HttpRequest request) throws Exception {
            if (requestTarget.isEmpty()) {
                super.encodeInitialLine(line, request);
            } else {
                line.writeCharSequence(
                        request.method() + " " + requestTarget + " " + request.protocolVersion() + "\r\n",
                        StandardCharsets.ISO_8859_1);
                requestTarget = "";
            }
            isAwaitingResponse = true;
            isHeadRequest = request.method().equals(HttpMethod.HEAD);
            long number = requestsSent + 1;
            requestsSent = number;
        }
    }

    private final class ResponseDecoder extends HttpResponseDecoder {

        ResponseDecoder() {
            super(DECODER_CONFIG);
        }

        @Override
        protected boolean isContentAlwaysEmpty(HttpMessage message) {
            return isHeadRequest || super.isContentAlwaysEmpty(message);
        }

        @Override
        protected void decode(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws Exception {
            if (!isAwaitingResponse) {
                closeOnSurplus(context, bytes);
                return;
            }
            responsesStarted = requestsSent;
            int before = out.size();
            super.decode(context, bytes, out);
            List<Object> pieces = out.subList(before, out.size());
            if (!pieces.isEmpty() && pieces.getFirst() instanceof HttpResponse response && isInterim(response)) {
                interimListener.accept(toResponseHead(response));
                pieces.clear();
                // Reads are on demand. The handlers above count this read as satisfied, though they get nothing of it.
                context.read();
            }
            pieces.forEach(this::checkPiece);
            if (!pieces.isEmpty() && isComplete(pieces)) {
                completeResponse();
                // Before the last piece is passed on: that piece returns the connection to the pool, where others can take it.
                if (bytes.isReadable()) {
                    closeOnSurplus(context, bytes);
                }
            }
        }

        @Override
        protected void decodeLast(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws Exception {
            super.decodeLast(context, bytes, out);
            // A body without a length or chunks ends with the connection (RFC 9112 section 6.3). Over TLS it is complete only
            // after a close_notify of the origin, because anyone on the path can close the TCP connection (section 9.8).
            if (isAwaitingResponse && !out.isEmpty() && isComplete(out)
                    && (hasReceivedCloseNotify || context.pipeline().get(SslHandler.class) == null)) {
                completeResponse();
            }
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
            if (event instanceof SslCloseCompletionEvent completion && completion.isSuccess()) {
                hasReceivedCloseNotify = true;
            }
            super.userEventTriggered(context, event);
        }

        private boolean isComplete(List<Object> pieces) {
            return pieces.getFirst() instanceof HttpObject first && first.decoderResult().isSuccess()
                    && pieces.getLast() instanceof LastHttpContent last && last.decoderResult().isSuccess();
        }

        private void completeResponse() {
            isAwaitingResponse = false;
            responsesCompleted = requestsSent;
        }

        private void closeOnSurplus(ChannelHandlerContext context, ByteBuf bytes) {
            bytes.skipBytes(bytes.readableBytes());
            var unused = context.close();
        }

        private boolean isInterim(HttpResponse response) {
            int status = response.status().code();
            return response.decoderResult().isSuccess() && status >= 100 && status < 200 && status != 101;
        }

        private void checkPiece(Object piece) {
            if (!(piece instanceof HttpObject part)) {
                return;
            }
            if (part.decoderResult().isFailure()) {
                Throwable cause = part.decoderResult().cause();
                if (!(cause instanceof PrematureChannelClosureException)) {
                    part.setDecoderResult(DecoderResult.failure(new MalformedResponseException(cause)));
                }
            } else if (part instanceof HttpResponse response) {
                String fault = framingFault(response);
                if (fault.isEmpty()) {
                    responseHead = toResponseHead(response);
                } else {
                    response.setDecoderResult(DecoderResult.failure(new MalformedResponseException(fault)));
                }
            }
        }

        private String framingFault(HttpResponse response) {
            int status = response.status().code();
            if (status < 200 || status > 999) {
                return "status " + status;
            }
            if (response.protocolVersion().majorVersion() != 1) {
                return "version " + response.protocolVersion();
            }
            List<String> codings = response.headers().getAll(HttpHeaderNames.TRANSFER_ENCODING);
            boolean framed = codings.isEmpty()
                    || (codings.size() == 1 && codings.getFirst().trim().equalsIgnoreCase("chunked"));
            return framed ? "" : "a transfer coding other than chunked";
        }

        private ResponseHead toResponseHead(HttpResponse response) {
            var lines = new ArrayList<HeaderFields.FieldLine>(response.headers().size());
            for (Map.Entry<String, String> line : response.headers()) {
                lines.add(new HeaderFields.FieldLine(line.getKey(), line.getValue()));
            }
            return new ResponseHead(response.status().code(), HeaderFields.of(lines));
        }
    }
}
