package dev.corral.redis.purge;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.test.StepVerifier;

import static org.assertj.core.api.Assertions.assertThat;

class SharedTaskTest {

    /** One for each run that has begun; ended by the test. */
    private final List<Sinks.Empty<Void>> runs = new ArrayList<>();
    private final SharedTask shared = new SharedTask(Mono.defer(() -> {
        runs.add(Sinks.empty());
        return runs.getLast().asMono();
    }));

    @Test
    void callersDuringARunShareTheNextRun() {
        StepVerifier first = StepVerifier.create(shared.awaitNextRun()).expectComplete().verifyLater();
        List<StepVerifier> later = IntStream.range(0, 1_000)
                .mapToObj(i -> StepVerifier.create(shared.awaitNextRun()).expectComplete().verifyLater())
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
    void failedRunFailsOnlyItsCallers() {
        StepVerifier first = StepVerifier.create(shared.awaitNextRun()).expectErrorMessage("broken").verifyLater();
        StepVerifier second = StepVerifier.create(shared.awaitNextRun()).expectComplete().verifyLater();

        runs.getFirst().tryEmitError(new IllegalStateException("broken"));
        runs.getLast().tryEmitEmpty();

        first.verify();
        second.verify();
    }

    @Test
    void cancelledCallerDoesNotCancelTheRun() {
        shared.awaitNextRun().subscribe().dispose();
        StepVerifier second = StepVerifier.create(shared.awaitNextRun()).expectComplete().verifyLater();

        runs.getFirst().tryEmitEmpty();
        runs.getLast().tryEmitEmpty();

        second.verify();
        assertThat(runs).hasSize(2);
    }
}
