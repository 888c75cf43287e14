package dev.corral.edge;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.http.CacheStatus;
import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.Head;
import dev.corral.http.HttpDate;
import dev.corral.http.Reply;
import dev.corral.http.Slice;
import dev.corral.http.Tags;
import dev.corral.origin.Answer;
import java.time.InstantSource;
import java.util.List;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferFactory;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.MediaType;
import org.springframework.http.ProblemDetail;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.http.server.reactive.ServerHttpResponseDecorator;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.netty.http.server.HttpServerResponse;

/** Writes results. The only place that touches a response. Thread-safe. */
public final class Responder {

    /** Bytes of a body that are handed to Netty at once; a few pieces wait for a client that reads nothing (Application). */
    private static final int PIECE = 32 * 1024;

    /** Those that wait, and one on its way. */
    private static final long PIECES = 5L * PIECE;

    private final InstantSource clock;
    private final ObjectMapper json;
    private final Memory memory;

    /**
     * @param clock the fleet's, for Age
     * @param json  writes problem details
     * @param memory for long bodies, as long as they are read
     */
    public Responder(InstantSource clock, ObjectMapper json, Memory memory) {
        this.memory = memory;
        this.clock = clock;
        this.json = json;
    }

    /** Completes when the answer is written; errors when the client or the origin broke off in the middle of it. */
    Mono<Void> write(ServerHttpResponse response, Request request, Result result) {
        return switch (result) {
            case Result.FromStore from -> write(response, from.status(),
                    Reply.of(request.asked(), from.stored(), clock.instant(), request.route().policy()));
            case Result.Shared shared -> write(response, shared.status(),
                    Reply.of(request.asked(), shared.head(), shared.body(), clock.instant(), request.route().policy()));
            case Result.FromOrigin from -> write(response, request, from);
            case Result.Refused refused -> write(response, refused);
        };
    }

    /** Completes when the problem is written. */
    Mono<Void> write(ServerHttpResponse response, Result.Refused refused) {
        Problem problem = refused.problem();
        ProblemDetail detail = ProblemDetail.forStatusAndDetail(HttpStatusCode.valueOf(problem.status()),
                problem.detail());
        detail.setTitle(problem.title());
        detail.setProperty("reason", problem.reason());
        HttpHeaders headers = response.getHeaders();
        headers.setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        // A problem of ours says nothing about the resource.
        headers.setCacheControl("no-store");
        headers.add("Cache-Status", refused.status().value());
        problem.retryAfter()
                // Rounded up: who comes back a moment too early has to wait for as long again.
                .ifPresent(wait -> headers.set(HttpHeaders.RETRY_AFTER,
                        Long.toString(Math.max(1, wait.plusMillis(999).toSeconds()))));
        dated(headers);
        byte[] body = bytes(detail);
        headers.setContentLength(body.length);
        response.setRawStatusCode(problem.status());
        return response.writeWith(Mono.just(response.bufferFactory().wrap(body)));
    }

    private byte[] bytes(ProblemDetail detail) {
        try {
            return json.writeValueAsBytes(detail);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("strings and a number are always JSON", impossible);
        }
    }

    private Mono<Void> write(ServerHttpResponse response, CacheStatus status, Reply reply) {
        DataBufferFactory buffers = response.bufferFactory();
        List<Slice> body = reply.body();
        if (body.size() > 1 || (body.size() == 1 && body.getFirst().length() > PIECE)) {
            long pieces = Math.min(PIECES, body.stream().mapToLong(Slice::length).sum());
            return Mono.defer(() -> memory.unread(body.getFirst().body(), pieces)
                    .map(done -> {
                        head(response, reply.status(), status.addedTo(reply.fields()));
                        return response.writeWith(pieces(buffers, body)).doFinally(end -> done.run());
                    })
                    .orElseGet(() -> write(response, new Result.Refused(Problem.MEMORY_FULL,
                            status.detail(Problem.MEMORY_FULL.reason()), Traffic.Outcome.REFUSED))));
        }
        head(response, reply.status(), status.addedTo(reply.fields()));
        return body.isEmpty()
                ? response.setComplete()
                : response.writeWith(Mono.just(buffer(buffers, body.getFirst())));
    }

    /**
     * A long body, piece by piece as the client reads: Netty copies what is written to it into direct memory, all of it at once.
     * Hidden, for a source that Reactor Netty fuses with would be asked for all pieces.
     */
    private static Flux<DataBuffer> pieces(DataBufferFactory buffers, List<Slice> body) {
        return Flux.fromIterable(body)
                .concatMapIterable(slice -> slice.pieces(PIECE))
                .map(piece -> buffer(buffers, piece))
                .hide();
    }

    private Mono<Void> write(ServerHttpResponse response, Request request, Result.FromOrigin from) {
        Head head = from.answer().head();
        Fields fields = Tags.hidden(Forwarding.fromOrigin(head.fields()), request.route().policy());
        head(response, head.status(), from.status().addedTo(fields));
        if (request.from().protocolVersion().equals("1.0") && !fields.has("Content-Length")) {
            untilClose(response);
        }
        if (request.asked().head()) {
            return response.setComplete();
        }
        return switch (from.answer()) {
            case Answer.Whole whole -> whole.body().length() == 0
                    ? response.setComplete()
                    : response.writeWith(Mono.just(response.bufferFactory().wrap(whole.body().bytes())));
            // Not by writeAndFlushWith: what a client that breaks off leaves unread would never be released. Reactor Netty flushes
            // whenever it has written all there is, so what an origin sends slowly, such as events, is not held back.
            case Answer.Streaming streaming -> response.writeWith(streaming.body());
        };
    }

    private void head(ServerHttpResponse response, int status, Fields fields) {
        response.setRawStatusCode(status);
        HttpHeaders headers = response.getHeaders();
        for (Fields.Field field : fields) {
            headers.add(field.name(), field.value());
        }
        dated(headers);
    }

    /** RFC 9110 section 6.6.1: who has a clock adds a missing Date to what it forwards or says. */
    private void dated(HttpHeaders headers) {
        if (!headers.containsKey(HttpHeaders.DATE)) {
            headers.set(HttpHeaders.DATE, HttpDate.format(clock.instant()));
        }
    }

    /** RFC 9112 section 6.1: an HTTP/1.0 client gets no chunked coding. What has no length ends with the connection. */
    private static void untilClose(ServerHttpResponse response) {
        HttpServerResponse sent = ServerHttpResponseDecorator.getNativeResponse(response);
        sent.chunkedTransfer(false).keepAlive(false);
    }

    private static DataBuffer buffer(DataBufferFactory buffers, Slice slice) {
        return slice.offset() == 0 && slice.length() == slice.body().length()
                ? buffers.wrap(slice.body().bytes())
                : buffers.wrap(java.nio.ByteBuffer.wrap(slice.body().bytes(), slice.offset(), slice.length()));
    }
}
