package dev.corral.origin;

import dev.corral.http.HeaderFields;
import dev.corral.http.ResponseHead;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.bulkhead.BulkheadConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowSynchronizationStrategy;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowType;
import io.netty.resolver.AddressResolverGroup;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.util.unit.DataSize;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** An {@link OriginClient} with access to its breaker and its bulkhead, and short forms of the calls that tests make. */
final class OriginFixture implements AutoCloseable {

    /** Of what hangs; how long a busy machine takes is nothing that these tests are about. */
    static final Duration LONG_TIMEOUT = Duration.ofSeconds(60);
    static final Duration SHORT_TIMEOUT = Duration.ofMillis(150);

    final CircuitBreaker breaker;
    final Bulkhead bulkhead;
    final OriginClient origin;
    private final AddressResolverGroup<InetSocketAddress> addressResolvers;

    private OriginFixture(OriginConfig upstream, CircuitBreakerConfig breaking, Clock clock, Duration patience) {
        this(upstream, breaking, clock, patience, new OriginAddressResolverGroup());
    }

    private OriginFixture(OriginConfig upstream, CircuitBreakerConfig breaking, Clock clock, Duration patience,
            AddressResolverGroup<InetSocketAddress> names) {
        this.addressResolvers = names;
        this.breaker = CircuitBreaker.of(upstream.id(), breaking);
        this.bulkhead = Bulkhead.of(upstream.id(), BulkheadConfig.custom()
                .maxConcurrentCalls(upstream.maxConcurrentRequests())
                .maxWaitDuration(Duration.ZERO)
                .build());
        this.origin = new OriginClient(upstream, "/", breaker, bulkhead, names, clock, patience);
    }

    private static CircuitBreakerConfig.Builder lockFree() {
        return CircuitBreakerConfig.custom()
                .slidingWindow(100, 100, SlidingWindowType.COUNT_BASED, SlidingWindowSynchronizationStrategy.LOCK_FREE);
    }

    static OriginConfig config(URI base) {
        return new OriginConfig("shop", base, LONG_TIMEOUT, DataSize.ofKilobytes(64), 4, Duration.ofMinutes(1),
                Optional.empty());
    }

    static OriginFixture forOrigin(URI base) {
        return forOrigin(config(base));
    }

    static OriginFixture forOrigin(OriginConfig upstream) {
        return new OriginFixture(upstream, lockFree().build(), Clock.systemUTC(), LONG_TIMEOUT);
    }

    static OriginFixture forOrigin(OriginConfig upstream, Duration patience) {
        return new OriginFixture(upstream, lockFree().build(), Clock.systemUTC(), patience);
    }

    /** Also closes the resolver group. */
    static OriginFixture forOrigin(OriginConfig upstream, AddressResolverGroup<InetSocketAddress> names) {
        return new OriginFixture(upstream, lockFree().build(), Clock.systemUTC(), LONG_TIMEOUT, names);
    }

    static OriginFixture forOrigin(OriginConfig upstream, Clock clock,
            UnaryOperator<CircuitBreakerConfig.Builder> breaking) {
        return new OriginFixture(upstream, breaking.apply(lockFree().clock(clock)).build(), clock, LONG_TIMEOUT);
    }

    static OriginConfig withTimeout(OriginConfig upstream, Duration timeout) {
        return new OriginConfig(upstream.id(), upstream.baseUri(), timeout, upstream.maxObjectSize(),
                upstream.maxConcurrentRequests(),
                upstream.connectionMaxLifetime(), upstream.sslBundle());
    }

    static OriginConfig withConnectionMaxLife(OriginConfig upstream, Duration life) {
        return new OriginConfig(upstream.id(), upstream.baseUri(), upstream.timeout(), upstream.maxObjectSize(),
                upstream.maxConcurrentRequests(), life, upstream.sslBundle());
    }

    static OriginConfig withConcurrency(OriginConfig upstream, int concurrency) {
        return new OriginConfig(upstream.id(), upstream.baseUri(), upstream.timeout(), upstream.maxObjectSize(),
                concurrency,
                upstream.connectionMaxLifetime(), upstream.sslBundle());
    }

    static OriginRequest getRequest(String target) {
        return new OriginRequest("GET", target, HeaderFields.EMPTY, Optional.empty());
    }

    static OriginRequest postRequest(String target, Flux<DataBuffer> body, String... fields) {
        return new OriginRequest("POST", target, HeaderFields.of(fields), Optional.of(body));
    }

    /** The response with its body collected. */
    Mono<OriginResponse> fetch(OriginRequest request) {
        return fetch(request, head -> BodyMode.BUFFER);
    }

    /** The response, without a listener for interim responses and with an unlimited memory budget. */
    Mono<OriginResponse> fetch(OriginRequest request, Function<ResponseHead, BodyMode> bodyModeSelector) {
        return origin.fetch(request, bodyModeSelector, interim -> {}, bytes -> true);
    }

    OriginResponse.Buffered fetchBuffered(OriginRequest request) {
        return (OriginResponse.Buffered) fetch(request).blockOptional(LONG_TIMEOUT).orElseThrow();
    }

    OriginResponse.Streaming fetchStreaming(OriginRequest request) {
        return (OriginResponse.Streaming) fetch(request, head -> BodyMode.STREAM)
                .blockOptional(LONG_TIMEOUT)
                .orElseThrow();
    }

    /** The free slots of the bulkhead. */
    int freePermits() {
        return bulkhead.getMetrics().getAvailableConcurrentCalls();
    }

    /** The failures counted by the route's breaker and the endpoints' breakers. */
    int failures() {
        return breaker.getMetrics().getNumberOfFailedCalls() + origin.endpointFailures();
    }

    int successes() {
        return breaker.getMetrics().getNumberOfSuccessfulCalls();
    }

    static String text(OriginResponse.Buffered response) {
        return new String(response.body().bytes(), StandardCharsets.ISO_8859_1);
    }

    /** The text of a piece, which is released. */
    static String text(DataBuffer piece) {
        String text = piece.toString(StandardCharsets.ISO_8859_1);
        DataBufferUtils.release(piece);
        return text;
    }

    static Mono<String> text(Flux<DataBuffer> body) {
        return body.map(OriginFixture::text).reduce("", String::concat);
    }

    @Override
    public void close() {
        origin.close();
        addressResolvers.close();
    }
}
