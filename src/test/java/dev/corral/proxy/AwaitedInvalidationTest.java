package dev.corral.proxy;

import dev.corral.coalesce.TierUnavailableException;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgeRegistry.Purge;
import dev.corral.purge.PurgeRegistry.PurgeReceipt;
import dev.corral.purge.PurgeRegistry.PurgeVerdict;
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

    private static final Duration WAIT_LIMIT = Duration.ofMillis(250);
    private static final List<String> NAMES = List.of("hats");

    private final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    private final Sinks.Many<String> acknowledgements = Sinks.many().multicast().onBackpressureBuffer();
    private final List<Purge> writtenPurges = new ArrayList<>();
    private Mono<PurgeReceipt> pendingWrite = Mono.just(new PurgeReceipt(7, acknowledgements.asFlux()));

    private AwaitedInvalidation invalidation(Duration bound) {
        return new AwaitedInvalidation(purges(), Mono.just(Set.of("a", "b")), bound, time);
    }

    @Test
    void invalidationEndsWhenAllLiveReplicasAcknowledged() {
        StepVerifier.create(invalidation(WAIT_LIMIT).invalidate(NAMES))
                .expectSubscription()
                .then(() -> acknowledgements.tryEmitNext("a"))
                .expectNoEvent(Duration.ofMillis(20))
                .then(() -> acknowledgements.tryEmitNext("b"))
                .verifyComplete();
        assertThat(writtenPurges).singleElement().satisfies(purge -> {
            assertThat(purge.names()).isEqualTo(NAMES);
            assertThat(purge.isAcknowledgementRequested()).isTrue();
        });
    }

    @Test
    void invalidationEndsAtTheLimitDespiteASilentReplica() {
        StepVerifier.create(invalidation(WAIT_LIMIT).invalidate(NAMES))
                .expectSubscription()
                .then(() -> acknowledgements.tryEmitNext("a"))
                .then(() -> time.advanceTimeBy(WAIT_LIMIT))
                .verifyComplete();
    }

    @Test
    void slowWriteContinuesBeyondTheLimit() {
        var cancelled = new AtomicBoolean();
        Sinks.One<PurgeReceipt> slow = Sinks.one();
        pendingWrite = slow.asMono().doOnCancel(() -> cancelled.set(true));

        StepVerifier.create(invalidation(WAIT_LIMIT).invalidate(NAMES))
                .expectSubscription()
                .then(() -> time.advanceTimeBy(WAIT_LIMIT))
                .verifyComplete();

        assertThat(writtenPurges).hasSize(1);
        assertThat(cancelled).isFalse();
    }

    @Test
    void invalidationWithoutTierEndsAtOnceWithoutError() {
        pendingWrite = Mono.error(new TierUnavailableException("away", new IllegalStateException()));

        StepVerifier.create(invalidation(WAIT_LIMIT).invalidate(NAMES)).verifyComplete();
        StepVerifier.create(invalidation(Duration.ZERO).invalidate(NAMES)).verifyComplete();
    }

    @Test
    void invalidationWithZeroLimitWaitsForTheWriteOnly() {
        StepVerifier.create(invalidation(Duration.ZERO).invalidate(NAMES)).verifyComplete();

        assertThat(writtenPurges).singleElement()
                .satisfies(purge -> assertThat(purge.isAcknowledgementRequested()).isFalse());
    }

    private PurgeRegistry purges() {
        return new PurgeRegistry() {
            @Override
            public long latestPosition() {
                return 0;
            }

            @Override
            public long syncedPosition() {
                return 0;
            }

            @Override
            public boolean isUpToDate() {
                return true;
            }

            @Override
            public PurgeVerdict verdict(List<String> names, long position) {
                return PurgeVerdict.VALID;
            }

            @Override
            public Mono<PurgeReceipt> purge(Purge purge) {
                writtenPurges.add(purge);
                return pendingWrite;
            }
        };
    }
}
