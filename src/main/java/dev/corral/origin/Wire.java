package dev.corral.origin;

import dev.corral.http.Fields;
import dev.corral.http.Head;
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
 * <li>An answer whose end cannot be told for certain is {@link Malformed}: a Transfer-Encoding other than chunked, both
 * Transfer-Encoding and Content-Length, an upgrade. (Netty itself refuses differing or repeated lengths and bare line feeds.)
 * <li>It counts, so that one can tell whether a connection was fresh, whether an answer began, and whether it came to its end.
 * </ul>
 * Runs on the connection's event loop; the counts may be read anywhere.
 */
final class Wire extends CombinedChannelDuplexHandler<HttpResponseDecoder, HttpRequestEncoder> {

    /** What came is not an answer one can rely on. */
    static final class Malformed extends DecoderException {

        private static final long serialVersionUID = 1L;

        Malformed(String message) {
            super(message);
        }

        Malformed(Throwable cause) {
            super(cause);
        }
    }

    private static final HttpDecoderConfig LIMITS = new HttpDecoderConfig()
            .setMaxInitialLineLength(8 * 1024)
            // Node.js refuses fields of more than 16 KB and nginx by default of more than 4 or 8: no origin needs more.
            .setMaxHeaderSize(64 * 1024)
            // What one read from the socket brings: larger pieces do not occur, smaller ones cost a signal each.
            .setMaxChunkSize(64 * 1024);

    // Confined to the event loop.
    private boolean awaiting;
    private boolean bodiless;
    private boolean farewell;
    private Head head = new Head(0, Fields.NONE);
    private Consumer<Head> interims = interim -> {};
    private String target = "";

    private volatile long sent;
    private volatile long departed;
    private volatile long heard;
    private volatile long ended;

    Wire() {
        init(new Answers(), new Requests());
    }

    /** How many requests went out on this connection. */
    long sent() {
        return sent;
    }

    /** The number of the last request of which the operating system accepted a byte: it may have reached the origin. */
    long departed() {
        return departed;
    }

    /** A byte of that request was accepted. On the event loop only. */
    void departed(long number) {
        departed = number;
    }

    /** The number of the last request whose answer began, be it with one byte. */
    long heard() {
        return heard;
    }

    /** The number of the last request whose answer came to its end. */
    long ended() {
        return ended;
    }

    /** The head of the answer that came last. On the event loop only. */
    Head head() {
        return head;
    }

    /** Who hears of the interim answers to the request that is about to be written. On the event loop only. */
    void interims(Consumer<Head> ear) {
        interims = ear;
    }

    /**
     * What the request that is about to be written asks for, one character for each byte. On the event loop only. Netty would write
     * the request's URI as UTF-8, and Reactor Netty has read it by {@link java.net.URI} before.
     */
    void target(String bytes) {
        target = bytes;
    }

    private final class Requests extends HttpRequestEncoder {

        @Override
        protected void encodeInitialLine(ByteBuf line, HttpRequest request) throws Exception {
            if (target.isEmpty()) {
                super.encodeInitialLine(line, request);
            } else {
                line.writeCharSequence(request.method() + " " + target + " " + request.protocolVersion() + "\r\n",
                        StandardCharsets.ISO_8859_1);
                target = "";
            }
            awaiting = true;
            bodiless = request.method().equals(HttpMethod.HEAD);
            long number = sent + 1;
            sent = number;
        }
    }

    private final class Answers extends HttpResponseDecoder {

        Answers() {
            super(LIMITS);
        }

        @Override
        protected boolean isContentAlwaysEmpty(HttpMessage message) {
            return bodiless || super.isContentAlwaysEmpty(message);
        }

        @Override
        protected void decode(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws Exception {
            if (!awaiting) {
                drop(context, bytes);
                return;
            }
            heard = sent;
            int before = out.size();
            super.decode(context, bytes, out);
            List<Object> pieces = out.subList(before, out.size());
            if (!pieces.isEmpty() && pieces.getFirst() instanceof HttpResponse response && interim(response)) {
                interims.accept(headOf(response));
                pieces.clear();
                // Reads are on demand, and to those who count them this one has already brought something.
                context.read();
            }
            pieces.forEach(this::inspect);
            if (!pieces.isEmpty() && ends(pieces)) {
                end();
                // Before the last piece is handed on, for with it the connection goes back to the pool and into other hands.
                if (bytes.isReadable()) {
                    drop(context, bytes);
                }
            }
        }

        @Override
        protected void decodeLast(ChannelHandlerContext context, ByteBuf bytes, List<Object> out) throws Exception {
            super.decodeLast(context, bytes, out);
            // A body that neither a length nor chunks delimit ends with the connection (RFC 9112 section 6.3); over TLS only
            // if the origin said so, for anybody on the way can close a connection (section 9.8).
            if (awaiting && !out.isEmpty() && ends(out)
                    && (farewell || context.pipeline().get(SslHandler.class) == null)) {
                end();
            }
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
            if (event instanceof SslCloseCompletionEvent closing && closing.isSuccess()) {
                farewell = true;
            }
            super.userEventTriggered(context, event);
        }

        private boolean ends(List<Object> pieces) {
            return pieces.getFirst() instanceof HttpObject first && first.decoderResult().isSuccess()
                    && pieces.getLast() instanceof LastHttpContent last && last.decoderResult().isSuccess();
        }

        private void end() {
            awaiting = false;
            ended = sent;
        }

        private void drop(ChannelHandlerContext context, ByteBuf bytes) {
            bytes.skipBytes(bytes.readableBytes());
            var unused = context.close();
        }

        private boolean interim(HttpResponse response) {
            int status = response.status().code();
            return response.decoderResult().isSuccess() && status >= 100 && status < 200 && status != 101;
        }

        private void inspect(Object piece) {
            if (!(piece instanceof HttpObject part)) {
                return;
            }
            if (part.decoderResult().isFailure()) {
                Throwable cause = part.decoderResult().cause();
                if (!(cause instanceof PrematureChannelClosureException)) {
                    part.setDecoderResult(DecoderResult.failure(new Malformed(cause)));
                }
            } else if (part instanceof HttpResponse response) {
                String fault = fault(response);
                if (fault.isEmpty()) {
                    head = headOf(response);
                } else {
                    response.setDecoderResult(DecoderResult.failure(new Malformed(fault)));
                }
            }
        }

        private String fault(HttpResponse response) {
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

        private Head headOf(HttpResponse response) {
            var lines = new ArrayList<Fields.Field>(response.headers().size());
            for (Map.Entry<String, String> line : response.headers()) {
                lines.add(new Fields.Field(line.getKey(), line.getValue()));
            }
            return new Head(response.status().code(), Fields.of(lines));
        }
    }
}
