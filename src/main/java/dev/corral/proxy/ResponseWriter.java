package dev.corral.proxy;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.cache.ClientResponse;
import dev.corral.cache.SurrogateTags;
import dev.corral.http.BodySlice;
import dev.corral.http.CacheStatus;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.Problem;
import dev.corral.http.ResponseHead;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics;
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
public final class ResponseWriter {

    /** Bytes of a body that are handed to Netty at once; a few pieces wait for a client that reads nothing (Application). */
    private static final int CHUNK_BYTES = 32 * 1024;

    /** Those that wait, and one on its way. */
    private static final long MAX_QUEUED_BYTES = 5L * CHUNK_BYTES;

    private final InstantSource clock;
    private final ObjectMapper json;
    private final ResponseMemory memory;

    /**
     * @param clock the fleet's, for Age
     * @param json  writes problem details
     * @param memory for long bodies, as long as they are read
     */
    public ResponseWriter(InstantSource clock, ObjectMapper json, ResponseMemory memory) {
        this.memory = memory;
        this.clock = clock;
        this.json = json;
    }

    /** Completes when the answer is written; errors when the client or the origin broke off in the middle of it. */
    Mono<Void> write(ServerHttpResponse response, ClientRequest request, ProxyResponse result) {
        return switch (result) {
            case ProxyResponse.Cached from -> writeFromMemory(response, from.cacheStatus(),
                    ClientResponse.of(request.head(), from.response(), clock.instant(), request.route().cachePolicy()));
            case ProxyResponse.SharedError shared -> writeFromMemory(response, shared.cacheStatus(),
                    ClientResponse.of(request.head(), shared.head(), shared.body(), clock.instant(),
                            request.route().cachePolicy()));
            case ProxyResponse.Passed from -> writePassed(response, request, from);
            case ProxyResponse.ProblemResponse refused -> writeProblem(response, refused);
        };
    }

    /** Completes when the problem is written. */
    Mono<Void> writeProblem(ServerHttpResponse response, ProxyResponse.ProblemResponse refused) {
        Problem problem = refused.problem();
        ProblemDetail detail = ProblemDetail.forStatusAndDetail(HttpStatusCode.valueOf(problem.status()),
                problem.detail());
        detail.setTitle(problem.title());
        detail.setProperty("reason", problem.reason());
        HttpHeaders headers = response.getHeaders();
        headers.setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        // A problem of ours says nothing about the resource.
        headers.setCacheControl("no-store");
        headers.add("Cache-Status", refused.cacheStatus().value());
        problem.retryAfter()
                // Rounded up: who comes back a moment too early has to wait for as long again.
                .ifPresent(wait -> headers.set(HttpHeaders.RETRY_AFTER,
                        Long.toString(Math.max(1, wait.plusMillis(999).toSeconds()))));
        addDateIfMissing(headers);
        byte[] body = toJson(detail);
        headers.setContentLength(body.length);
        response.setRawStatusCode(problem.status());
        return response.writeWith(Mono.just(response.bufferFactory().wrap(body)));
    }

    private byte[] toJson(ProblemDetail detail) {
        try {
            return json.writeValueAsBytes(detail);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("strings and a number are always JSON", impossible);
        }
    }

    private Mono<Void> writeFromMemory(ServerHttpResponse response, CacheStatus status, ClientResponse reply) {
        DataBufferFactory buffers = response.bufferFactory();
        List<BodySlice> body = reply.body();
        if (body.size() > 1 || (body.size() == 1 && body.getFirst().length() > CHUNK_BYTES)) {
            long pieces = Math.min(MAX_QUEUED_BYTES, body.stream().mapToLong(BodySlice::length).sum());
            return Mono.defer(() -> memory.tryReserveBody(body.getFirst().body(), pieces)
                    .map(done -> {
                        writeHead(response, reply.status(), status.appendTo(reply.fields()));
                        return response.writeWith(chunks(buffers, body)).doFinally(end -> done.run());
                    })
                    .orElseGet(() -> writeProblem(response, new ProxyResponse.ProblemResponse(Problem.MEMORY_FULL,
                            status.withDetail(Problem.MEMORY_FULL.reason()), ProxyMetrics.RequestOutcome.REJECTED))));
        }
        writeHead(response, reply.status(), status.appendTo(reply.fields()));
        return body.isEmpty()
                ? response.setComplete()
                : response.writeWith(Mono.just(toBuffer(buffers, body.getFirst())));
    }

    /**
     * A long body, piece by piece as the client reads: Netty copies what is written to it into direct memory, all of it at once.
     * Hidden, for a source that Reactor Netty fuses with would be asked for all pieces.
     */
    private static Flux<DataBuffer> chunks(DataBufferFactory buffers, List<BodySlice> body) {
        return Flux.fromIterable(body)
                .concatMapIterable(slice -> slice.split(CHUNK_BYTES))
                .map(piece -> toBuffer(buffers, piece))
                .hide();
    }

    private Mono<Void> writePassed(ServerHttpResponse response, ClientRequest request, ProxyResponse.Passed from) {
        ResponseHead head = from.response().head();
        HeaderFields fields = SurrogateTags.strip(Forwarding.endToEndResponseFields(head.fields()),
                request.route().cachePolicy());
        writeHead(response, head.status(), from.cacheStatus().appendTo(fields));
        if (request.clientConnection().protocolVersion().equals("1.0") && !fields.has("Content-Length")) {
            closeAfterResponse(response);
        }
        if (request.head().isHead()) {
            return response.setComplete();
        }
        return switch (from.response()) {
            case OriginResponse.Buffered whole -> whole.body().length() == 0
                    ? response.setComplete()
                    : response.writeWith(Mono.just(response.bufferFactory().wrap(whole.body().bytes())));
            // Not by writeAndFlushWith: what a client that breaks off leaves unread would never be released. Reactor Netty flushes
            // whenever it has written all there is, so what an origin sends slowly, such as events, is not held back.
            case OriginResponse.Streaming streaming -> response.writeWith(streaming.body());
        };
    }

    private void writeHead(ServerHttpResponse response, int status, HeaderFields fields) {
        response.setRawStatusCode(status);
        HttpHeaders headers = response.getHeaders();
        for (HeaderFields.FieldLine field : fields) {
            headers.add(field.name(), field.value());
        }
        addDateIfMissing(headers);
    }

    /** RFC 9110 section 6.6.1: who has a clock adds a missing Date to what it forwards or says. */
    private void addDateIfMissing(HttpHeaders headers) {
        if (!headers.containsKey(HttpHeaders.DATE)) {
            headers.set(HttpHeaders.DATE, HttpDate.format(clock.instant()));
        }
    }

    /** RFC 9112 section 6.1: an HTTP/1.0 client gets no chunked coding. What has no length ends with the connection. */
    private static void closeAfterResponse(ServerHttpResponse response) {
        HttpServerResponse sent = ServerHttpResponseDecorator.getNativeResponse(response);
        sent.chunkedTransfer(false).keepAlive(false);
    }

    private static DataBuffer toBuffer(DataBufferFactory buffers, BodySlice slice) {
        return slice.offset() == 0 && slice.length() == slice.body().length()
                ? buffers.wrap(slice.body().bytes())
                : buffers.wrap(java.nio.ByteBuffer.wrap(slice.body().bytes(), slice.offset(), slice.length()));
    }
}
