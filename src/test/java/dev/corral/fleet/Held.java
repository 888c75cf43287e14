package dev.corral.fleet;

import dev.corral.dev.Answer;
import dev.corral.dev.Asked;
import dev.corral.dev.DemoShop;
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
final class Held {

    /** Long enough for a machine with other work to do; nothing waits for it that goes well. */
    static final Duration PATIENCE = Duration.ofSeconds(15);

    private record Arrival(Asked asked, Sinks.Empty<Void> gate) {}

    private final List<Arrival> arrivals = new ArrayList<>(); // guarded by this
    private boolean open; // guarded by this
    private volatile Function<Asked, Mono<Answer>> answers;

    private Held(Function<Asked, Mono<Answer>> answers) {
        this.answers = answers;
    }

    /** Takes the path of that origin. The answers must not block. */
    static Held at(DemoShop origin, String path, Function<Asked, Answer> answers) {
        return failing(origin, path, asked -> Mono.fromSupplier(() -> answers.apply(asked)));
    }

    /** Likewise; an error closes the connection without an answer. */
    static Held failing(DemoShop origin, String path, Function<Asked, Mono<Answer>> answers) {
        var held = new Held(answers);
        origin.script(path, held::arrive);
        return held;
    }

    /** From now on what is let go is answered by this. */
    void answerBy(Function<Asked, Answer> others) {
        answers = asked -> Mono.fromSupplier(() -> others.apply(asked));
    }

    /** How many requests have come. */
    synchronized int count() {
        return arrivals.size();
    }

    /** The requests that have come, in their order. */
    synchronized List<Asked> asked() {
        return arrivals.stream().map(Arrival::asked).toList();
    }

    /** Returns when that many requests have come, and no sooner. */
    void awaitCount(int requests) {
        Awaitility.await(requests + " requests at the origin").atMost(PATIENCE).until(() -> count() >= requests);
    }

    /** Answers the request of that number, from 1. */
    synchronized void letGo(int number) {
        arrivals.get(number - 1).gate.tryEmitEmpty();
    }

    /** Answers everything that has come, and what will come at once. */
    synchronized void open() {
        open = true;
        arrivals.forEach(arrival -> arrival.gate.tryEmitEmpty());
    }

    private Mono<Answer> arrive(Asked asked) {
        Sinks.Empty<Void> gate = Sinks.empty();
        synchronized (this) {
            arrivals.add(new Arrival(asked, gate));
            if (open) {
                gate.tryEmitEmpty();
            }
        }
        return gate.asMono().then(Mono.defer(() -> answers.apply(asked)));
    }
}
