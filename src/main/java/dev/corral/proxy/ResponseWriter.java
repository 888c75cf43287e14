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

/** Writes responses to clients. No other class writes to a {@link ServerHttpResponse}. Thread-safe. */
public final class ResponseWriter {

    /** Maximum bytes of a body passed to Netty at once. If the client reads nothing, a few pieces are queued (see Application). */
    private static final int CHUNK_BYTES = 32 * 1024;

    /** Bytes of the queued pieces and of the one being written. */
    private static final long MAX_QUEUED_BYTES = 5L * CHUNK_BYTES;

    private final InstantSource clock;
    private final ObjectMapper json;
    private final ResponseMemory memory;

    /**
     * @param clock  the fleet clock, for Age
     * @param json  writes problem details
     * @param memory accounts for long bodies while they are being sent
     */
    public ResponseWriter(InstantSource clock, ObjectMapper json, ResponseMemory memory) {
        this.memory = memory;
        this.clock = clock;
        this.json = json;
    }

    /** Completes when the response is written. Fails if the client or the origin aborts it halfway. */
    Mono<Void> write(ServerHttpResponse response, ClientRequest request, ProxyResponse result) {
        return switch (result) {
            case ProxyResponse.Cached cached -> writeFromMemory(response, cached.cacheStatus(),
                    ClientResponse.of(request.head(), cached.response(), clock.instant(),
                            request.route().cachePolicy()));
            case ProxyResponse.SharedError shared -> writeFromMemory(response, shared.cacheStatus(),
                    ClientResponse.of(request.head(), shared.head(), shared.body(), clock.instant(),
                            request.route().cachePolicy()));
            case ProxyResponse.Passed passed -> writePassed(response, request, passed);
            case ProxyResponse.ProblemResponse problem -> writeProblem(response, problem);
        };
    }

    /** Completes when the problem is written. */
    Mono<Void> writeProblem(ServerHttpResponse response, ProxyResponse.ProblemResponse problemResponse) {
        Problem problem = problemResponse.problem();
        ProblemDetail detail = ProblemDetail.forStatusAndDetail(HttpStatusCode.valueOf(problem.status()),
                problem.detail());
        detail.setTitle(problem.title());
        detail.setProperty("reason", problem.reason());
        HttpHeaders headers = response.getHeaders();
        headers.setContentType(MediaType.APPLICATION_PROBLEM_JSON);
        // A problem of the proxy says nothing about the resource.
        headers.setCacheControl("no-store");
        headers.add("Cache-Status", problemResponse.cacheStatus().value());
        problem.retryAfter()
                // Rounded up, because a client that retries too early gets the same Retry-After again.
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
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("strings and a number are always JSON", e);
        }
    }

    private Mono<Void> writeFromMemory(ServerHttpResponse response, CacheStatus status, ClientResponse clientResponse) {
        DataBufferFactory buffers = response.bufferFactory();
        List<BodySlice> body = clientResponse.body();
        if (body.size() > 1 || (body.size() == 1 && body.getFirst().length() > CHUNK_BYTES)) {
            long queuedBytes = Math.min(MAX_QUEUED_BYTES, body.stream().mapToLong(BodySlice::length).sum());
            return Mono.defer(() -> memory.tryReserveBody(body.getFirst().body(), queuedBytes)
                    .map(releaseMemory -> {
                        writeHead(response, clientResponse.status(), status.appendTo(clientResponse.fields()));
                        return response.writeWith(chunks(buffers, body)).doFinally(end -> releaseMemory.run());
                    })
                    .orElseGet(() -> writeProblem(response, new ProxyResponse.ProblemResponse(Problem.MEMORY_FULL,
                            status.withDetail(Problem.MEMORY_FULL.reason()), ProxyMetrics.RequestOutcome.REJECTED))));
        }
        writeHead(response, clientResponse.status(), status.appendTo(clientResponse.fields()));
        return body.isEmpty()
                ? response.setComplete()
                : response.writeWith(Mono.just(toBuffer(buffers, body.getFirst())));
    }

    /**
     * A long body in pieces, at the pace at which the client reads. Netty copies everything that is written to it into direct
     * memory at once. The source is hidden, because Reactor Netty would request all pieces of a source that it can fuse with.
     */
    private static Flux<DataBuffer> chunks(DataBufferFactory buffers, List<BodySlice> body) {
        return Flux.fromIterable(body)
                .concatMapIterable(slice -> slice.split(CHUNK_BYTES))
                .map(piece -> toBuffer(buffers, piece))
                .hide();
    }

    private Mono<Void> writePassed(ServerHttpResponse response, ClientRequest request, ProxyResponse.Passed passed) {
        ResponseHead head = passed.response().head();
        HeaderFields fields = SurrogateTags.strip(Forwarding.endToEndResponseFields(head.fields()),
                request.route().cachePolicy());
        writeHead(response, head.status(), passed.cacheStatus().appendTo(fields));
        if (request.clientConnection().protocolVersion().equals("1.0") && !fields.has("Content-Length")) {
            closeAfterResponse(response);
        }
        if (request.head().isHead()) {
            return response.setComplete();
        }
        return switch (passed.response()) {
            case OriginResponse.Buffered buffered -> buffered.body().length() == 0
                    ? response.setComplete()
                    : response.writeWith(Mono.just(response.bufferFactory().wrap(buffered.body().bytes())));
            // Not writeAndFlushWith: buffers that a disconnecting client leaves unread would never be released. Reactor Netty
            // flushes whenever it has written all available data, so data that an origin sends slowly, such as events, is not
            // delayed.
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

    /** RFC 9110 section 6.6.1: a recipient with a clock adds a missing Date to each response that it forwards or generates. */
    private void addDateIfMissing(HttpHeaders headers) {
        if (!headers.containsKey(HttpHeaders.DATE)) {
            headers.set(HttpHeaders.DATE, HttpDate.format(clock.instant()));
        }
    }

    /**
     * RFC 9112 section 6.1: an HTTP/1.0 client gets no chunked coding. A response without a length ends when the connection closes.
     */
    private static void closeAfterResponse(ServerHttpResponse response) {
        HttpServerResponse nettyResponse = ServerHttpResponseDecorator.getNativeResponse(response);
        nettyResponse.chunkedTransfer(false).keepAlive(false);
    }

    private static DataBuffer toBuffer(DataBufferFactory buffers, BodySlice slice) {
        return slice.offset() == 0 && slice.length() == slice.body().length()
                ? buffers.wrap(slice.body().bytes())
                : buffers.wrap(java.nio.ByteBuffer.wrap(slice.body().bytes(), slice.offset(), slice.length()));
    }
}
