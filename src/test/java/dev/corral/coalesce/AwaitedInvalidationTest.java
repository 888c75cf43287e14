package dev.corral.coalesce;

import dev.corral.coalesce.Purges.Purge;
import dev.corral.coalesce.Purges.Purged;
import dev.corral.coalesce.Purges.Verdict;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.test.StepVerifier;
import reactor.test.scheduler.VirtualTimeScheduler;

import static org.assertj.core.api.Assertions.assertThat;

class AwaitedInvalidationTest {

    private static final Duration BOUND = Duration.ofMillis(250);
    private static final List<String> NAMES = List.of("hats");

    private final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    private final Sinks.Many<String> heard = Sinks.many().multicast().onBackpressureBuffer();
    private final List<Purge> written = new ArrayList<>();
    private Mono<Purged> write = Mono.just(new Purged(7, heard.asFlux()));

    private AwaitedInvalidation invalidation(Duration bound) {
        return new AwaitedInvalidation(purges(), Mono.just(Set.of("a", "b")), bound, time);
    }

    @Test
    void itEndsWhenTheLastLiveReplicaKnows() {
        StepVerifier.create(invalidation(BOUND).invalidate(NAMES))
                .expectSubscription()
                .then(() -> heard.tryEmitNext("a"))
                .expectNoEvent(Duration.ofMillis(20))
                .then(() -> heard.tryEmitNext("b"))
                .verifyComplete();
        assertThat(written).singleElement().satisfies(purge -> {
            assertThat(purge.names()).isEqualTo(NAMES);
            assertThat(purge.awaits()).isTrue();
        });
    }

    @Test
    void itEndsAtItsBoundThoughAReplicaIsSilent() {
        StepVerifier.create(invalidation(BOUND).invalidate(NAMES))
                .expectSubscription()
                .then(() -> heard.tryEmitNext("a"))
                .then(() -> time.advanceTimeBy(BOUND))
                .verifyComplete();
    }

    @Test
    void aSlowWriteGoesOnBeyondTheBound() {
        var cancelled = new AtomicBoolean();
        Sinks.One<Purged> slow = Sinks.one();
        write = slow.asMono().doOnCancel(() -> cancelled.set(true));

        StepVerifier.create(invalidation(BOUND).invalidate(NAMES))
                .expectSubscription()
                .then(() -> time.advanceTimeBy(BOUND))
                .verifyComplete();

        assertThat(written).hasSize(1);
        assertThat(cancelled).isFalse();
    }

    @Test
    void withoutTheTierItEndsAtOnceAndWithoutAnError() {
        write = Mono.error(new TierUnavailable("away", new IllegalStateException()));

        StepVerifier.create(invalidation(BOUND).invalidate(NAMES)).verifyComplete();
        StepVerifier.create(invalidation(Duration.ZERO).invalidate(NAMES)).verifyComplete();
    }

    @Test
    void withoutABoundItWaitsForTheWriteOnly() {
        StepVerifier.create(invalidation(Duration.ZERO).invalidate(NAMES)).verifyComplete();

        assertThat(written).singleElement().satisfies(purge -> assertThat(purge.awaits()).isFalse());
    }

    private Purges purges() {
        return new Purges() {
            @Override
            public long position() {
                return 0;
            }

            @Override
            public long complete() {
                return 0;
            }

            @Override
            public boolean current() {
                return true;
            }

            @Override
            public Verdict verdict(List<String> names, long position) {
                return Verdict.VALID;
            }

            @Override
            public Mono<Purged> purge(Purge purge) {
                written.add(purge);
                return write;
            }
        };
    }
}
