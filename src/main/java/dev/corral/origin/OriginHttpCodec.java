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
 * HTTP/1.1 on one connection to an origin, one request after the other. Stands in the place of Netty's client codec, and is
 * stricter where a shared cache must be:
 * <ul>
 * <li>Bytes nobody asked for close the connection. Left unread they would be taken for the answer to the next request.
 * <li>Interim answers end here, any number of them; who asked may hear of each. Reactor Netty does that for 100 only; any other it takes for the
 * final answer and leaves the real one unread on the connection.
 * <li>An answer whose end cannot be told for certain is {@link MalformedResponseException}: a Transfer-Encoding other than chunked, both
 * Transfer-Encoding and Content-Length, an upgrade. (Netty itself refuses differing or repeated lengths and bare line feeds.)
 * <li>It counts, so that one can tell whether a connection was fresh, whether an answer began, and whether it came to its end.
 * </ul>
 * Runs on the connection's event loop; the counts may be read anywhere.
 */
final class OriginHttpCodec extends CombinedChannelDuplexHandler<HttpResponseDecoder, HttpRequestEncoder> {

    /** What came is not an answer one can rely on. */
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
            // Node.js refuses fields of more than 16 KB and nginx by default of more than 4 or 8: no origin needs more.
            .setMaxHeaderSize(64 * 1024)
            // What one read from the socket brings: larger pieces do not occur, smaller ones cost a signal each.
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

    /** How many requests went out on this connection. */
    long requestsSent() {
        return requestsSent;
    }

    /** The number of the last request of which the operating system accepted a byte: it may have reached the origin. */
    long requestsAccepted() {
        return requestsAccepted;
    }

    /** A byte of that request was accepted. On the event loop only. */
    void requestsAccepted(long number) {
        requestsAccepted = number;
    }

    /** The number of the last request whose answer began, be it with one byte. */
    long responsesStarted() {
        return responsesStarted;
    }

    /** The number of the last request whose answer came to its end. */
    long responsesCompleted() {
        return responsesCompleted;
    }

    /** The head of the answer that came last. On the event loop only. */
    ResponseHead responseHead() {
        return responseHead;
    }

    /** Who hears of the interim answers to the request that is about to be written. On the event loop only. */
    void interimListener(Consumer<ResponseHead> ear) {
        interimListener = ear;
    }

    /**
     * What the request that is about to be written asks for, one character for each byte. On the event loop only. Netty would write
     * the request's URI as UTF-8, and Reactor Netty has read it by {@link java.net.URI} before.
     */
    void requestTarget(String bytes) {
        requestTarget = bytes;
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
                // Reads are on demand, and to those who count them this one has already brought something.
                context.read();
            }
            pieces.forEach(this::checkPiece);
            if (!pieces.isEmpty() && isComplete(pieces)) {
                completeResponse();
                // Before the last piece is handed on, for with it the connection goes back to the pool and into other hands.
                if (bytes.isReadable()) {
                    closeOnSurplus(context, bytes);
                }
            }
        }

        @Override
        protected void decodeLast(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws Exception {
            super.decodeLast(context, bytes, out);
            // A body that neither a length nor chunks delimit ends with the connection (RFC 9112 section 6.3); over TLS only
            // if the origin said so, for anybody on the way can close a connection (section 9.8).
            if (isAwaitingResponse && !out.isEmpty() && isComplete(out)
                    && (hasReceivedCloseNotify || context.pipeline().get(SslHandler.class) == null)) {
                completeResponse();
            }
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
            if (event instanceof SslCloseCompletionEvent closing && closing.isSuccess()) {
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
