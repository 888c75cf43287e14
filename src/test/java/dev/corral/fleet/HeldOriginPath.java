package dev.corral.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.StubRequest;
import dev.corral.dev.StubResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.awaitility.Awaitility;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * One path of the origin, whatever the query. Its answers are held back until the test lets them go: what has come and was not
 * let go is at the origin at the same time. Thread-safe.
 */
final class HeldOriginPath {

    /** Long enough for a machine with other work to do; nothing waits for it that goes well. */
    static final Duration TIMEOUT = Duration.ofSeconds(15);

    private record HeldRequest(StubRequest request, Sinks.Empty<Void> gate) {}

    private final List<HeldRequest> arrivals = new ArrayList<>(); // guarded by this
    private boolean isReleased; // guarded by this
    private volatile Function<StubRequest, Mono<StubResponse>> responses;

    private HeldOriginPath(Function<StubRequest, Mono<StubResponse>> answers) {
        this.responses = answers;
    }

    /** Takes the path of that origin. The answers must not block. */
    static HeldOriginPath holdAt(DemoShop origin, String path, Function<StubRequest, StubResponse> answers) {
        return holdAtWithFailures(origin, path, asked -> Mono.fromSupplier(() -> answers.apply(asked)));
    }

    /** Likewise; an error closes the connection without an answer. */
    static HeldOriginPath holdAtWithFailures(DemoShop origin, String path,
            Function<StubRequest, Mono<StubResponse>> answers) {
        var held = new HeldOriginPath(answers);
        origin.script(path, held::onRequest);
        return held;
    }

    /** From now on what is let go is answered by this. */
    void respondWith(Function<StubRequest, StubResponse> others) {
        responses = asked -> Mono.fromSupplier(() -> others.apply(asked));
    }

    /** How many requests have come. */
    synchronized int count() {
        return arrivals.size();
    }

    /** The requests that have come, in their order. */
    synchronized List<StubRequest> requests() {
        return arrivals.stream().map(HeldRequest::request).toList();
    }

    /** Returns when that many requests have come, and no sooner. */
    void awaitCount(int requests) {
        Awaitility.await(requests + " requests at the origin").atMost(TIMEOUT).until(() -> count() >= requests);
    }

    /** Answers the request of that number, from 1. */
    synchronized void release(int number) {
        arrivals.get(number - 1).gate.tryEmitEmpty();
    }

    /** Answers everything that has come, and what will come at once. */
    synchronized void releaseAll() {
        isReleased = true;
        arrivals.forEach(arrival -> arrival.gate.tryEmitEmpty());
    }

    private Mono<StubResponse> onRequest(StubRequest asked) {
        Sinks.Empty<Void> gate = Sinks.empty();
        synchronized (this) {
            arrivals.add(new HeldRequest(asked, gate));
            if (isReleased) {
                gate.tryEmitEmpty();
            }
        }
        return gate.asMono().then(Mono.defer(() -> responses.apply(asked)));
    }
}
