package dev.corral.origin;

import dev.corral.http.Fields;
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
import java.util.function.UnaryOperator;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.util.unit.DataSize;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** An {@link Origin} with its breaker and its bulkhead in view, and short words for what tests ask of it. */
final class Rig implements AutoCloseable {

    static final Duration LONG = Duration.ofSeconds(10);
    static final Duration SHORT = Duration.ofMillis(150);

    final CircuitBreaker breaker;
    final Bulkhead bulkhead;
    final Origin origin;
    private final AddressResolverGroup<InetSocketAddress> names;

    private Rig(Upstream upstream, CircuitBreakerConfig breaking, Clock clock, Duration patience) {
        this(upstream, breaking, clock, patience, new OriginNames());
    }

    private Rig(Upstream upstream, CircuitBreakerConfig breaking, Clock clock, Duration patience,
            AddressResolverGroup<InetSocketAddress> names) {
        this.names = names;
        this.breaker = CircuitBreaker.of(upstream.id(), breaking);
        this.bulkhead = Bulkhead.of(upstream.id(), BulkheadConfig.custom()
                .maxConcurrentCalls(upstream.concurrency())
                .maxWaitDuration(Duration.ZERO)
                .build());
        this.origin = new Origin(upstream, "/", breaker, bulkhead, names, clock, patience);
    }

    private static CircuitBreakerConfig.Builder lockFree() {
        return CircuitBreakerConfig.custom()
                .slidingWindow(100, 100, SlidingWindowType.COUNT_BASED, SlidingWindowSynchronizationStrategy.LOCK_FREE);
    }

    static Upstream upstream(URI base) {
        return new Upstream("shop", base, LONG, DataSize.ofKilobytes(64), 4, Duration.ofMinutes(1), Optional.empty());
    }

    static Rig to(URI base) {
        return to(upstream(base));
    }

    static Rig to(Upstream upstream) {
        return new Rig(upstream, lockFree().build(), Clock.systemUTC(), LONG);
    }

    static Rig to(Upstream upstream, Duration patience) {
        return new Rig(upstream, lockFree().build(), Clock.systemUTC(), patience);
    }

    /** Closes the names with itself. */
    static Rig to(Upstream upstream, AddressResolverGroup<InetSocketAddress> names) {
        return new Rig(upstream, lockFree().build(), Clock.systemUTC(), LONG, names);
    }

    static Rig to(Upstream upstream, Clock clock, UnaryOperator<CircuitBreakerConfig.Builder> breaking) {
        return new Rig(upstream, breaking.apply(lockFree().clock(clock)).build(), clock, LONG);
    }

    static Upstream timeout(Upstream upstream, Duration timeout) {
        return new Upstream(upstream.id(), upstream.base(), timeout, upstream.maxBody(), upstream.concurrency(),
                upstream.connectionMaxLife(), upstream.ssl());
    }

    static Upstream connectionMaxLife(Upstream upstream, Duration life) {
        return new Upstream(upstream.id(), upstream.base(), upstream.timeout(), upstream.maxBody(),
                upstream.concurrency(), life, upstream.ssl());
    }

    static Upstream concurrency(Upstream upstream, int concurrency) {
        return new Upstream(upstream.id(), upstream.base(), upstream.timeout(), upstream.maxBody(), concurrency,
                upstream.connectionMaxLife(), upstream.ssl());
    }

    static Outgoing get(String target) {
        return new Outgoing("GET", target, Fields.NONE, Optional.empty());
    }

    static Outgoing post(String target, Flux<DataBuffer> body, String... fields) {
        return new Outgoing("POST", target, Fields.of(fields), Optional.of(body));
    }

    /** Collected. */
    Mono<Answer> fetch(Outgoing request) {
        return origin.fetch(request, head -> Intake.COLLECT);
    }

    Answer.Whole whole(Outgoing request) {
        return (Answer.Whole) fetch(request).blockOptional(LONG).orElseThrow();
    }

    Answer.Streaming streaming(Outgoing request) {
        return (Answer.Streaming) origin.fetch(request, head -> Intake.STREAM).blockOptional(LONG).orElseThrow();
    }

    /** The places nobody has. */
    int free() {
        return bulkhead.getMetrics().getAvailableConcurrentCalls();
    }

    /** Of the origin and of its endpoints. */
    int failures() {
        return breaker.getMetrics().getNumberOfFailedCalls() + origin.endpointFailures();
    }

    int successes() {
        return breaker.getMetrics().getNumberOfSuccessfulCalls();
    }

    static String text(Answer.Whole answer) {
        return new String(answer.body().bytes(), StandardCharsets.ISO_8859_1);
    }

    /** The piece's text; the piece is released. */
    static String text(DataBuffer piece) {
        String text = piece.toString(StandardCharsets.ISO_8859_1);
        DataBufferUtils.release(piece);
        return text;
    }

    static Mono<String> text(Flux<DataBuffer> body) {
        return body.map(Rig::text).reduce("", String::concat);
    }

    @Override
    public void close() {
        origin.close();
        names.close();
    }
}
