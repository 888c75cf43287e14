package dev.corral.coalesce;

import dev.corral.coalesce.Flights.FlightCompletion;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import reactor.core.Disposable;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.util.context.Context;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(60)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class FlightsTest {

    private static final int THREADS = 6;
    private static final int ROUNDS = 4_000;
    private static final CoalescerLimits WIDE_LIMITS = CoalescerLimits.of(Duration.ofSeconds(2), 1_000, 10_000);

    private ExecutorService threads = Executors.newFixedThreadPool(1);

    @BeforeAll
    void startThreads() {
        threads = Executors.newFixedThreadPool(THREADS);
    }

    @AfterAll
    void stopThreads() {
        threads.shutdownNow();
    }

    @Test
    void concurrentJoinsShareOneFlight() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
            AtomicInteger courses = new AtomicInteger();
            CyclicBarrier aboard = new CyclicBarrier(THREADS);
            Sinks.One<FlightCompletion<Integer>> landing = Sinks.one();

            List<FlightResult<Integer>> outcomes = runConcurrently(thread -> {
                Mono<FlightResult<Integer>> flight = join(flights, "key", () -> {
                    courses.incrementAndGet();
                    return landing.asMono();
                }).cache();
                flight.subscribe();
                if (await(aboard) == 0) {
                    landing.tryEmitValue(completed(1));
                }
                return awaitResult(flight);
            });

            assertThat(courses).hasValue(1);
            assertThat(outcomes).hasSize(THREADS).containsOnly(completed(1).result());
            assertIdle(flights);
        }
    }

    @Test
    void joinsDuringCompletionNeverRunTwoFlightsAtOnce() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
            AtomicInteger running = new AtomicInteger();
            AtomicInteger most = new AtomicInteger();
            Supplier<Mono<FlightCompletion<Integer>>> course = () -> Mono.fromCallable(() -> {
                most.accumulateAndGet(running.incrementAndGet(), Math::max);
                running.decrementAndGet();
                return completed(1);
            });

            List<FlightResult<Integer>> outcomes = runConcurrently(thread -> awaitResult(join(flights, "key", course)));

            assertThat(outcomes).hasSize(THREADS).containsOnly(completed(1).result());
            assertThat(most).hasValue(1);
            assertIdle(flights);
        }
    }

    @Test
    void forgottenFlightDoesNotRemoveItsSuccessor() {
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
        Sinks.One<FlightCompletion<Integer>> first = Sinks.one();
        Sinks.One<FlightCompletion<Integer>> second = Sinks.one();
        Mono<FlightResult<Integer>> old = join(flights, "key", first::asMono).cache();
        old.subscribe();
        flights.forget("key");
        Mono<FlightResult<Integer>> anew = join(flights, "key", second::asMono).cache();
        anew.subscribe();

        first.tryEmitValue(completed(1));

        assertThat(flights.isInFlight("key")).isTrue();
        assertThat(awaitResult(old)).isEqualTo(completed(1).result());
        second.tryEmitValue(completed(2));
        assertThat(awaitResult(anew)).isEqualTo(completed(2).result());
        assertIdle(flights);
    }

    @Test
    void immediateRetryAfterAFailureStartsANewFlight() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
            AtomicInteger courses = new AtomicInteger();
            AtomicInteger told = new AtomicInteger();
            CyclicBarrier aboard = new CyclicBarrier(THREADS);
            Sinks.One<FlightCompletion<Integer>> failure = Sinks.one();
            Supplier<Mono<FlightCompletion<Integer>>> course = () -> courses.incrementAndGet() == 1
                    ? failure.asMono()
                    : Mono.just(completed(2));

            List<FlightResult<Integer>> outcomes = runConcurrently(thread -> {
                Mono<FlightResult<Integer>> retried = join(flights, "key", course).flatMap(outcome -> {
                    told.incrementAndGet();
                    assertThat(outcome).isEqualTo(failed(1).result());
                    return join(flights, "key", course);
                }).cache();
                retried.subscribe();
                if (await(aboard) == 0) {
                    failure.tryEmitValue(failed(1));
                }
                return awaitResult(retried);
            });

            assertThat(told).hasValue(THREADS);
            assertThat(outcomes).hasSize(THREADS).containsOnly(completed(2).result());
            assertIdle(flights);
        }
    }

    /** Public behavior 16. */
    @Test
    void brokenFlightIsNotRemembered() {
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
        AtomicInteger courses = new AtomicInteger();
        Supplier<Mono<FlightCompletion<Integer>>> course = () -> switch (courses.incrementAndGet()) {
            case 1 -> throw new IllegalStateException("at assembly");
            case 2 -> Mono.error(new IllegalStateException("in flight"));
            case 3 -> Mono.empty();
            default -> Mono.just(completed(4));
        };

        FlightResult<Integer> outcome = awaitResult(join(flights, "key", course).retry(3));

        assertThat(outcome).isEqualTo(completed(4).result());
        assertIdle(flights);
    }

    @Test
    void failureIsNotSharedWithLaterJoinsDuringThePendingWrite() {
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
        Sinks.Empty<Void> after = Sinks.empty();
        assertThat(awaitResult(
                join(flights, "key", () -> Mono.just(new FlightCompletion<>(failed(1).result(), after.asMono())))))
                .isEqualTo(failed(1).result());

        FlightResult<Integer> next = awaitResult(join(flights, "key", () -> Mono.just(completed(2))));

        assertThat(next).isEqualTo(completed(2).result());
        after.tryEmitEmpty();
        assertIdle(flights);
    }

    @Test
    void completedFlightServesJoinsUntilItsPendingWriteEnds() {
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
        Sinks.Empty<Void> after = Sinks.empty();
        awaitResult(
                join(flights, "key", () -> Mono.just(new FlightCompletion<>(completed(1).result(), after.asMono()))));

        FlightResult<Integer> meanwhile = awaitResult(join(flights, "key", () -> Mono.just(completed(2))));

        assertThat(meanwhile).isEqualTo(completed(1).result());
        after.tryEmitEmpty();
        assertIdle(flights);
    }

    @Test
    void completedFlightIsSkippedWhenItsValueIsUnusable() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
            AtomicInteger courses = new AtomicInteger();
            Sinks.Empty<Void> after = Sinks.empty();
            awaitResult(join(flights, "key",
                    () -> Mono.just(new FlightCompletion<>(completed(1).result(), after.asMono()))));

            List<FlightResult<Integer>> outcomes = runConcurrently(
                    thread -> awaitResult(flights.join("key", value -> value == 2, () -> {
                        courses.incrementAndGet();
                        return Mono.just(new FlightCompletion<>(completed(2).result(), after.asMono()));
                    })));

            assertThat(outcomes).hasSize(THREADS).containsOnly(completed(2).result());
            assertThat(courses).hasValue(1);
            assertThat(flights.flightCount()).isEqualTo(1);
            after.tryEmitEmpty();
            assertIdle(flights);
        }
    }

    @Test
    void failedPendingWriteIsReportedWithoutHarm() {
        List<String> told = new ArrayList<>();
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, new CoalescerListener() {
            @Override
            public void onBackgroundError(String step, Throwable cause) {
                told.add(cause.getMessage());
            }
        });

        FlightResult<Integer> outcome = awaitResult(join(flights, "key", () -> Mono.just(
                new FlightCompletion<>(completed(1).result(), Mono.error(new IllegalStateException("no write"))))));

        assertThat(outcome).isEqualTo(completed(1).result());
        assertThat(told).containsExactly("no write");
        assertIdle(flights);
    }

    @Test
    void cancellationByTheLastWaiterDoesNotCancelTheFlight() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
            AtomicBoolean cancelled = new AtomicBoolean();
            AtomicInteger courses = new AtomicInteger();
            Sinks.One<FlightCompletion<Integer>> landing = Sinks.one();
            Supplier<Mono<FlightCompletion<Integer>>> course = () -> {
                courses.incrementAndGet();
                return landing.asMono().doOnCancel(() -> cancelled.set(true));
            };

            runConcurrently(thread -> {
                Disposable waiter = join(flights, "key", course).subscribe();
                waiter.dispose();
                return completed(0).result();
            });

            assertThat(cancelled).isFalse();
            assertThat(courses).hasValue(1);
            assertThat(flights.waiterCount()).isZero();
            assertThat(flights.isInFlight("key")).isTrue();
            landing.tryEmitValue(completed(1));
            assertIdle(flights);
        }
    }

    @Test
    void cancellationOnSubscribeStillStartsTheFlight() {
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
        AtomicInteger courses = new AtomicInteger();

        join(flights, "key", () -> {
            courses.incrementAndGet();
            return Mono.just(completed(1));
        }).doOnSubscribe(subscription -> subscription.cancel()).subscribe();

        assertThat(courses).hasValue(1);
        assertIdle(flights);
    }

    @Test
    void subscriberContextDoesNotReachTheFlight() {
        Flights<String, Integer> flights = new Flights<>(WIDE_LIMITS, CoalescerListener.NO_OP);
        ConcurrentLinkedQueue<Context> contexts = new ConcurrentLinkedQueue<>();
        Mono<Void> after = Mono.deferContextual(view -> {
            contexts.add(Context.of(view));
            return Mono.empty();
        });
        Supplier<Mono<FlightCompletion<Integer>>> course = () -> Mono.deferContextual(view -> {
            contexts.add(Context.of(view));
            return Mono.just(new FlightCompletion<>(completed(1).result(), after));
        });

        awaitResult(join(flights, "key", course).contextWrite(Context.of("user", "alice")));

        assertThat(contexts).hasSize(2).allMatch(Context::isEmpty);
    }

    @Test
    void joinsOverTheLimitAreRejectedAndCountersReturnToZero() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(CoalescerLimits.of(Duration.ofSeconds(2), 2, 3),
                    CoalescerListener.NO_OP);
            CyclicBarrier aboard = new CyclicBarrier(THREADS);
            Sinks.One<FlightCompletion<Integer>> landing = Sinks.one();

            List<FlightResult<Integer>> outcomes = runConcurrently(thread -> {
                Mono<FlightResult<Integer>> flight = join(flights, "key" + thread % 2, landing::asMono).cache();
                flight.subscribe();
                if (await(aboard) == 0) {
                    landing.tryEmitValue(completed(1));
                }
                return awaitResult(flight);
            });

            // Which key has the third seat is chance, and whoever fails to get one may keep another out for a moment.
            assertThat(outcomes).hasSize(THREADS).contains(completed(1).result(), new FlightResult.Rejected<>());
            assertThat(outcomes.stream().filter(completed(1).result()::equals).count()).isBetween(1L, 3L);
            assertIdle(flights);
        }
    }

    @Test
    void limitPerKeyLeavesRoomForOtherKeys() {
        Flights<String, Integer> flights = new Flights<>(CoalescerLimits.of(Duration.ofSeconds(2), 2, 3),
                CoalescerListener.NO_OP);
        Sinks.One<FlightCompletion<Integer>> landing = Sinks.one();
        join(flights, "a", landing::asMono).subscribe();
        join(flights, "a", landing::asMono).subscribe();

        assertThat(awaitResult(join(flights, "a", landing::asMono))).isEqualTo(new FlightResult.Rejected<>());
        join(flights, "b", landing::asMono).subscribe();
        assertThat(awaitResult(join(flights, "c", landing::asMono))).isEqualTo(new FlightResult.Rejected<>());
        assertThat(flights.flightCount()).isEqualTo(2);
        assertThat(flights.waiterCount()).isEqualTo(3);

        landing.tryEmitValue(completed(1));
        assertIdle(flights);
    }

    @Test
    void immediateRetryDoesNotExceedTheLimit() {
        Flights<String, Integer> flights = new Flights<>(CoalescerLimits.of(Duration.ofSeconds(2), 1, 1),
                CoalescerListener.NO_OP);
        Sinks.One<FlightCompletion<Integer>> landing = Sinks.one();
        Mono<FlightResult<Integer>> twice = join(flights, "key", landing::asMono)
                .flatMap(failed -> join(flights, "key", () -> Mono.just(completed(2))))
                .cache();
        twice.subscribe();

        landing.tryEmitValue(failed(1));

        assertThat(awaitResult(twice)).isEqualTo(completed(2).result());
        assertIdle(flights);
    }

    @Test
    void noFlightRemainsAfterAnyInterleaving() throws Exception {
        Flights<String, Integer> flights = new Flights<>(CoalescerLimits.of(Duration.ofSeconds(2), 2, 4),
                CoalescerListener.NO_OP);
        for (int round = 0; round < ROUNDS; round++) {
            runConcurrently(thread -> {
                Mono<FlightResult<Integer>> flight = join(flights, "key",
                        () -> Mono.just(thread == 0 ? failed(1) : completed(1)));
                switch (thread) {
                    case 1 -> flight.subscribe().dispose();
                    case 2 -> flights.forget("key");
                    default -> awaitResult(flight);
                }
                return completed(0).result();
            });
            assertIdle(flights);
        }
    }

    private static void assertIdle(Flights<String, Integer> flights) {
        assertThat(flights.flightCount()).as("flights in the air").isZero();
        assertThat(flights.waiterCount()).as("aboard").isZero();
    }

    private static Mono<FlightResult<Integer>> join(Flights<String, Integer> flights, String key,
            Supplier<Mono<FlightCompletion<Integer>>> course) {
        return flights.join(key, value -> true, course);
    }

    private static FlightCompletion<Integer> completed(int value) {
        return FlightCompletion.of(new FlightResult.Value<>(value, "v" + value, FlightResult.Source.LEADER, true));
    }

    private static FlightCompletion<Integer> failed(int value) {
        return FlightCompletion.of(new FlightResult.FlightFailed<>(value, Optional.empty()));
    }

    private static FlightResult<Integer> awaitResult(Mono<FlightResult<Integer>> flight) {
        return flight.blockOptional(Duration.ofSeconds(10)).orElseThrow();
    }

    private static int await(CyclicBarrier barrier) {
        try {
            return barrier.await(10, TimeUnit.SECONDS);
        } catch (Exception broken) {
            throw new AssertionError(broken);
        }
    }

    /** Runs it in all threads, which start together; gives what each gave. */
    private List<FlightResult<Integer>> runConcurrently(IntFunction<FlightResult<Integer>> act) throws Exception {
        CyclicBarrier start = new CyclicBarrier(THREADS);
        List<Future<FlightResult<Integer>>> running = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int thread = i;
            running.add(threads.submit(() -> {
                await(start);
                return act.apply(thread);
            }));
        }
        List<FlightResult<Integer>> outcomes = new ArrayList<>();
        for (Future<FlightResult<Integer>> future : running) {
            outcomes.add(future.get(20, TimeUnit.SECONDS));
        }
        return outcomes;
    }
}
