package dev.corral.coalesce;

import dev.corral.coalesce.Flights.Landing;
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
    private static final Timing WIDE = Timing.of(Duration.ofSeconds(2), 1_000, 10_000);

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
    void allWhoJoinAtOnceShareOneCourse() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
            AtomicInteger courses = new AtomicInteger();
            CyclicBarrier aboard = new CyclicBarrier(THREADS);
            Sinks.One<Landing<Integer>> landing = Sinks.one();

            List<Outcome<Integer>> outcomes = atOnce(thread -> {
                Mono<Outcome<Integer>> flight = board(flights, "key", () -> {
                    courses.incrementAndGet();
                    return landing.asMono();
                }).cache();
                flight.subscribe();
                if (await(aboard) == 0) {
                    landing.tryEmitValue(landed(1));
                }
                return get(flight);
            });

            assertThat(courses).hasValue(1);
            assertThat(outcomes).hasSize(THREADS).containsOnly(landed(1).outcome());
            assertAtRest(flights);
        }
    }

    @Test
    void whoeverJoinsWhileOthersLandGetsAnOutcomeAndNoCourseRunsBesideAnother() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
            AtomicInteger running = new AtomicInteger();
            AtomicInteger most = new AtomicInteger();
            Supplier<Mono<Landing<Integer>>> course = () -> Mono.fromCallable(() -> {
                most.accumulateAndGet(running.incrementAndGet(), Math::max);
                running.decrementAndGet();
                return landed(1);
            });

            List<Outcome<Integer>> outcomes = atOnce(thread -> get(board(flights, "key", course)));

            assertThat(outcomes).hasSize(THREADS).containsOnly(landed(1).outcome());
            assertThat(most).hasValue(1);
            assertAtRest(flights);
        }
    }

    @Test
    void aFlightThatIsForgottenLandsWithoutRemovingItsSuccessor() {
        Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
        Sinks.One<Landing<Integer>> first = Sinks.one();
        Sinks.One<Landing<Integer>> second = Sinks.one();
        Mono<Outcome<Integer>> old = board(flights, "key", first::asMono).cache();
        old.subscribe();
        flights.forget("key");
        Mono<Outcome<Integer>> anew = board(flights, "key", second::asMono).cache();
        anew.subscribe();

        first.tryEmitValue(landed(1));

        assertThat(flights.flies("key")).isTrue();
        assertThat(get(old)).isEqualTo(landed(1).outcome());
        second.tryEmitValue(landed(2));
        assertThat(get(anew)).isEqualTo(landed(2).outcome());
        assertAtRest(flights);
    }

    @Test
    void whoeverIsToldOfAFailureAndRetriesAtOnceTakesOffAnew() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
            AtomicInteger courses = new AtomicInteger();
            AtomicInteger told = new AtomicInteger();
            CyclicBarrier aboard = new CyclicBarrier(THREADS);
            Sinks.One<Landing<Integer>> failure = Sinks.one();
            Supplier<Mono<Landing<Integer>>> course = () -> courses.incrementAndGet() == 1
                    ? failure.asMono()
                    : Mono.just(landed(2));

            List<Outcome<Integer>> outcomes = atOnce(thread -> {
                Mono<Outcome<Integer>> retried = board(flights, "key", course).flatMap(outcome -> {
                    told.incrementAndGet();
                    assertThat(outcome).isEqualTo(failed(1).outcome());
                    return board(flights, "key", course);
                }).cache();
                retried.subscribe();
                if (await(aboard) == 0) {
                    failure.tryEmitValue(failed(1));
                }
                return get(retried);
            });

            assertThat(told).hasValue(THREADS);
            assertThat(outcomes).hasSize(THREADS).containsOnly(landed(2).outcome());
            assertAtRest(flights);
        }
    }

    /** Public behaviour 16. */
    @Test
    void aCourseThatBreaksIsNotRemembered() {
        Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
        AtomicInteger courses = new AtomicInteger();
        Supplier<Mono<Landing<Integer>>> course = () -> switch (courses.incrementAndGet()) {
            case 1 -> throw new IllegalStateException("at assembly");
            case 2 -> Mono.error(new IllegalStateException("in flight"));
            case 3 -> Mono.empty();
            default -> Mono.just(landed(4));
        };

        Outcome<Integer> outcome = get(board(flights, "key", course).retry(3));

        assertThat(outcome).isEqualTo(landed(4).outcome());
        assertAtRest(flights);
    }

    @Test
    void aFailureIsForNobodyWhoComesWhileSomethingIsStillToDo() {
        Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
        Sinks.Empty<Void> after = Sinks.empty();
        assertThat(get(board(flights, "key", () -> Mono.just(new Landing<>(failed(1).outcome(), after.asMono())))))
                .isEqualTo(failed(1).outcome());

        Outcome<Integer> next = get(board(flights, "key", () -> Mono.just(landed(2))));

        assertThat(next).isEqualTo(landed(2).outcome());
        after.tryEmitEmpty();
        assertAtRest(flights);
    }

    @Test
    void aFlightStaysUntilAllIsDoneAndServesWhoComesMeanwhile() {
        Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
        Sinks.Empty<Void> after = Sinks.empty();
        get(board(flights, "key", () -> Mono.just(new Landing<>(landed(1).outcome(), after.asMono()))));

        Outcome<Integer> meanwhile = get(board(flights, "key", () -> Mono.just(landed(2))));

        assertThat(meanwhile).isEqualTo(landed(1).outcome());
        after.tryEmitEmpty();
        assertAtRest(flights);
    }

    @Test
    void aLandedFlightIsNotForWhomItsValueDoesNotServe() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
            AtomicInteger courses = new AtomicInteger();
            Sinks.Empty<Void> after = Sinks.empty();
            get(board(flights, "key", () -> Mono.just(new Landing<>(landed(1).outcome(), after.asMono()))));

            List<Outcome<Integer>> outcomes = atOnce(thread -> get(flights.join("key", value -> value == 2, () -> {
                courses.incrementAndGet();
                return Mono.just(new Landing<>(landed(2).outcome(), after.asMono()));
            })));

            assertThat(outcomes).hasSize(THREADS).containsOnly(landed(2).outcome());
            assertThat(courses).hasValue(1);
            assertThat(flights.size()).isEqualTo(1);
            after.tryEmitEmpty();
            assertAtRest(flights);
        }
    }

    @Test
    void whatIsStillToDoMayBreakWithoutHarm() {
        List<String> told = new ArrayList<>();
        Flights<String, Integer> flights = new Flights<>(WIDE, new Events() {
            @Override
            public void failed(String step, Throwable cause) {
                told.add(cause.getMessage());
            }
        });

        Outcome<Integer> outcome = get(board(flights, "key", () -> Mono.just(
                new Landing<>(landed(1).outcome(), Mono.error(new IllegalStateException("no write"))))));

        assertThat(outcome).isEqualTo(landed(1).outcome());
        assertThat(told).containsExactly("no write");
        assertAtRest(flights);
    }

    @Test
    void theLastWaitersLeavingCancelsNothing() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
            AtomicBoolean cancelled = new AtomicBoolean();
            AtomicInteger courses = new AtomicInteger();
            Sinks.One<Landing<Integer>> landing = Sinks.one();
            Supplier<Mono<Landing<Integer>>> course = () -> {
                courses.incrementAndGet();
                return landing.asMono().doOnCancel(() -> cancelled.set(true));
            };

            atOnce(thread -> {
                Disposable waiter = board(flights, "key", course).subscribe();
                waiter.dispose();
                return landed(0).outcome();
            });

            assertThat(cancelled).isFalse();
            assertThat(courses).hasValue(1);
            assertThat(flights.aboard()).isZero();
            assertThat(flights.flies("key")).isTrue();
            landing.tryEmitValue(landed(1));
            assertAtRest(flights);
        }
    }

    @Test
    void whoeverLeavesAsSoonAsSubscribedStillLetsTheFlightTakeOff() {
        Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
        AtomicInteger courses = new AtomicInteger();

        board(flights, "key", () -> {
            courses.incrementAndGet();
            return Mono.just(landed(1));
        }).doOnSubscribe(subscription -> subscription.cancel()).subscribe();

        assertThat(courses).hasValue(1);
        assertAtRest(flights);
    }

    @Test
    void theContextOfWhoeverOpenedTheFlightDoesNotReachTheCourse() {
        Flights<String, Integer> flights = new Flights<>(WIDE, Events.NONE);
        ConcurrentLinkedQueue<Context> contexts = new ConcurrentLinkedQueue<>();
        Mono<Void> after = Mono.deferContextual(view -> {
            contexts.add(Context.of(view));
            return Mono.empty();
        });
        Supplier<Mono<Landing<Integer>>> course = () -> Mono.deferContextual(view -> {
            contexts.add(Context.of(view));
            return Mono.just(new Landing<>(landed(1).outcome(), after));
        });

        get(board(flights, "key", course).contextWrite(Context.of("user", "alice")));

        assertThat(contexts).hasSize(2).allMatch(Context::isEmpty);
    }

    @Test
    void onceOverALimitIsCrowdedAtOnceAndTheCountersReturnToZero() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            Flights<String, Integer> flights = new Flights<>(Timing.of(Duration.ofSeconds(2), 2, 3), Events.NONE);
            CyclicBarrier aboard = new CyclicBarrier(THREADS);
            Sinks.One<Landing<Integer>> landing = Sinks.one();

            List<Outcome<Integer>> outcomes = atOnce(thread -> {
                Mono<Outcome<Integer>> flight = board(flights, "key" + thread % 2, landing::asMono).cache();
                flight.subscribe();
                if (await(aboard) == 0) {
                    landing.tryEmitValue(landed(1));
                }
                return get(flight);
            });

            // Which key has the third seat is chance, and whoever fails to get one may keep another out for a moment.
            assertThat(outcomes).hasSize(THREADS).contains(landed(1).outcome(), new Outcome.Crowded<>());
            assertThat(outcomes.stream().filter(landed(1).outcome()::equals).count()).isBetween(1L, 3L);
            assertAtRest(flights);
        }
    }

    @Test
    void theLimitOfOneKeyLeavesRoomForAnother() {
        Flights<String, Integer> flights = new Flights<>(Timing.of(Duration.ofSeconds(2), 2, 3), Events.NONE);
        Sinks.One<Landing<Integer>> landing = Sinks.one();
        board(flights, "a", landing::asMono).subscribe();
        board(flights, "a", landing::asMono).subscribe();

        assertThat(get(board(flights, "a", landing::asMono))).isEqualTo(new Outcome.Crowded<>());
        board(flights, "b", landing::asMono).subscribe();
        assertThat(get(board(flights, "c", landing::asMono))).isEqualTo(new Outcome.Crowded<>());
        assertThat(flights.size()).isEqualTo(2);
        assertThat(flights.aboard()).isEqualTo(3);

        landing.tryEmitValue(landed(1));
        assertAtRest(flights);
    }

    @Test
    void whoeverComesBackAtOnceDoesNotCrowdHimselfOut() {
        Flights<String, Integer> flights = new Flights<>(Timing.of(Duration.ofSeconds(2), 1, 1), Events.NONE);
        Sinks.One<Landing<Integer>> landing = Sinks.one();
        Mono<Outcome<Integer>> twice = board(flights, "key", landing::asMono)
                .flatMap(failed -> board(flights, "key", () -> Mono.just(landed(2))))
                .cache();
        twice.subscribe();

        landing.tryEmitValue(failed(1));

        assertThat(get(twice)).isEqualTo(landed(2).outcome());
        assertAtRest(flights);
    }

    @Test
    void noFlightIsLeftBehindInAnyInterleaving() throws Exception {
        Flights<String, Integer> flights = new Flights<>(Timing.of(Duration.ofSeconds(2), 2, 4), Events.NONE);
        for (int round = 0; round < ROUNDS; round++) {
            atOnce(thread -> {
                Mono<Outcome<Integer>> flight = board(flights, "key",
                        () -> Mono.just(thread == 0 ? failed(1) : landed(1)));
                switch (thread) {
                    case 1 -> flight.subscribe().dispose();
                    case 2 -> flights.forget("key");
                    default -> get(flight);
                }
                return landed(0).outcome();
            });
            assertAtRest(flights);
        }
    }

    private static void assertAtRest(Flights<String, Integer> flights) {
        assertThat(flights.size()).as("flights in the air").isZero();
        assertThat(flights.aboard()).as("aboard").isZero();
    }

    private static Mono<Outcome<Integer>> board(Flights<String, Integer> flights, String key,
            Supplier<Mono<Landing<Integer>>> course) {
        return flights.join(key, value -> true, course);
    }

    private static Landing<Integer> landed(int value) {
        return Landing.of(new Outcome.Landed<>(value, "v" + value, Outcome.Role.LED, true));
    }

    private static Landing<Integer> failed(int value) {
        return Landing.of(new Outcome.Failed<>(value, Optional.empty()));
    }

    private static Outcome<Integer> get(Mono<Outcome<Integer>> flight) {
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
    private List<Outcome<Integer>> atOnce(IntFunction<Outcome<Integer>> act) throws Exception {
        CyclicBarrier start = new CyclicBarrier(THREADS);
        List<Future<Outcome<Integer>>> running = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int thread = i;
            running.add(threads.submit(() -> {
                await(start);
                return act.apply(thread);
            }));
        }
        List<Outcome<Integer>> outcomes = new ArrayList<>();
        for (Future<Outcome<Integer>> future : running) {
            outcomes.add(future.get(20, TimeUnit.SECONDS));
        }
        return outcomes;
    }
}
