package dev.corral.proxy;

import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.Storability;
import dev.corral.cache.StreamDetection;
import dev.corral.http.Problem;
import dev.corral.http.ResponseHead;
import dev.corral.origin.BodyMode;
import dev.corral.origin.BufferMemoryExhaustedException;
import dev.corral.origin.OriginCircuitOpenException;
import dev.corral.origin.OriginConcurrencyExceededException;
import dev.corral.origin.OriginFailedException;
import dev.corral.origin.OriginRequest;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.RequestTracing;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.LongPredicate;
import reactor.core.publisher.Mono;

/**
 * Asks the origin for one request, and records the fetch: metrics and span. A validation that fails is followed by a second fetch; the
 * state is that of the last one. Thread-safe.
 */
final class OriginFetcher {

    private final ProxyContext context;
    private final ClientRequest request;
    private volatile boolean hasFetched;
    private volatile int status;
    private volatile String traceparent = "";

    OriginFetcher(ProxyContext context, ClientRequest request) {
        this.context = context;
        this.request = request;
    }

    /** Whether a fetch has begun. */
    boolean hasFetched() {
        return hasFetched;
    }

    /** The status of the origin's response; 0 before it. */
    int status() {
        return status;
    }

    /** The last shared fetch, as in {@link Entry#traceparent()}; empty when it is not traced or not shared. */
    String traceparent() {
        return traceparent;
    }

    /** For {@link FillFetch} and {@link PassHandler}, which decide more before the origin is asked. */
    void begin() {
        hasFetched = true;
    }

    /** A fetch that others may profit from. */
    Mono<OriginResponse> fetchShared(OriginRequest sent, LongPredicate memory,
            Function<ResponseHead, BodyMode> bodyMode) {
        return fetch(sent, false, memory, bodyMode);
    }

    /** A fetch for this request alone, whose body is streamed. */
    Mono<OriginResponse> fetchUnshared(OriginRequest sent) {
        return fetch(sent, true, bytes -> true, OriginFetcher::streamed);
    }

    private Mono<OriginResponse> fetch(OriginRequest sent, boolean unshared, LongPredicate memory,
            Function<ResponseHead, BodyMode> bodyMode) {
        return Mono.defer(() -> {
            long start = System.nanoTime();
            RequestTracing.FetchSpan span = request.span().startFetch(sent, unshared);
            traceparent = unshared ? "" : span.traceparent();
            return request.route()
                    .originClient()
                    .fetch(span.request(), bodyMode, request.interimResponses(), memory)
                    .doOnNext(response -> {
                        status = response.head().status();
                        record("answered", start);
                        span.responseReceived(status);
                    })
                    .doOnError(span::failed)
                    .doOnError(OriginFailedException.class, failed -> record(metricTag(failed.reason()), start))
                    .doOnCancel(() -> {
                        record("cancelled", start);
                        span.cancelled();
                    });
        });
    }

    private void record(String result, long start) {
        context.metrics().recordFetch(request.route().id(), result, Duration.ofNanos(System.nanoTime() - start));
    }

    private static String metricTag(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }

    static BodyMode streamed(ResponseHead head) {
        return StreamDetection.isDeclaredStream(head) ? BodyMode.STREAM_WITH_PAUSES : BodyMode.STREAM;
    }

    static BodyMode buffered(ResponseHead head, Storability.Store store) {
        return StreamDetection.mayBeStream(head, store) ? BodyMode.BUFFER_BRIEFLY : BodyMode.BUFFER;
    }

    /** Whether the error is one that a client gets a problem for; any other one is a bug. */
    static boolean isExpected(Throwable error) {
        return error instanceof OriginFailedException || error instanceof OriginCircuitOpenException
                || error instanceof OriginConcurrencyExceededException
                || error instanceof BufferMemoryExhaustedException;
    }

    /** What everybody who waits is told of a fetch that {@link #isExpected failed}. */
    FailedFill failure(Throwable error, long purgePosition) {
        Problem problem = switch (error) {
            case OriginFailedException failed -> switch (failed.reason()) {
                case UNREACHABLE -> Problem.ORIGIN_UNREACHABLE;
                case TIMED_OUT -> Problem.ORIGIN_TIMED_OUT;
                case TRUNCATED -> Problem.ORIGIN_TRUNCATED;
                case MALFORMED -> Problem.ORIGIN_MALFORMED;
            };
            case OriginCircuitOpenException open -> Problem.CIRCUIT_OPEN;
            case OriginConcurrencyExceededException full -> Problem.CONCURRENCY_LIMIT;
            case BufferMemoryExhaustedException full -> Problem.MEMORY_FULL;
            default -> Problem.INTERNAL_ERROR;
        };
        Optional<Duration> retryAfter = error instanceof OriginCircuitOpenException open
                ? Optional.of(open.retryAfter())
                : Optional.empty();
        return new FailedFill(request.keys().cacheKey(), problem.reason(), problem.status(), Optional.empty(),
                retryAfter, purgePosition);
    }
}
