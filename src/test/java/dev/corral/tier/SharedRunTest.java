package dev.corral.tier;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.test.StepVerifier;

import static org.assertj.core.api.Assertions.assertThat;

class SharedRunTest {

    /** One for each run that has begun; ended by the test. */
    private final List<Sinks.Empty<Void>> runs = new ArrayList<>();
    private final SharedRun shared = new SharedRun(Mono.defer(() -> {
        runs.add(Sinks.empty());
        return runs.getLast().asMono();
    }));

    @Test
    void callersDuringARunShareTheNextOne() {
        StepVerifier first = StepVerifier.create(shared.next()).expectComplete().verifyLater();
        List<StepVerifier> later = IntStream.range(0, 1_000)
                .mapToObj(i -> StepVerifier.create(shared.next()).expectComplete().verifyLater())
                .toList();
        assertThat(runs).hasSize(1);

        runs.getFirst().tryEmitEmpty();
        first.verify();
        assertThat(runs).hasSize(2);
        runs.getLast().tryEmitEmpty();

        later.forEach(StepVerifier::verify);
        assertThat(runs).hasSize(2);
    }

    @Test
    void aRunThatFailsFailsItsOwnCallersOnly() {
        StepVerifier first = StepVerifier.create(shared.next()).expectErrorMessage("broken").verifyLater();
        StepVerifier second = StepVerifier.create(shared.next()).expectComplete().verifyLater();

        runs.getFirst().tryEmitError(new IllegalStateException("broken"));
        runs.getLast().tryEmitEmpty();

        first.verify();
        second.verify();
    }

    @Test
    void aCallerThatLeavesEndsNothing() {
        shared.next().subscribe().dispose();
        StepVerifier second = StepVerifier.create(shared.next()).expectComplete().verifyLater();

        runs.getFirst().tryEmitEmpty();
        runs.getLast().tryEmitEmpty();

        second.verify();
        assertThat(runs).hasSize(2);
    }
}
