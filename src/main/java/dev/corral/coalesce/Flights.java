package dev.corral.coalesce;

import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Predicate;
import java.util.function.Supplier;

import reactor.core.publisher.Mono;
import reactor.util.context.Context;

/**
 * The flights of this process: at most one per key. Holds flights, never values. Thread-safe.
 *
 * <p>The map's value is the shared promise, so no caller knows whether it started the flight. A flight does nothing until its
 * first subscription: no step runs inside {@code computeIfAbsent}. It then runs to its end, whichever callers cancel, in a
 * Reactor context of its own.
 */
final class Flights<K, V> {

    /**
     * The result of a flight, and the write that is still pending.
     *
     * @param pendingWrite the write; the flight stays in the map until it has ended, so that at every moment the value is
     *              either in flight or stored. Has a time limit of its own
     */
    record FlightCompletion<V>(FlightResult<V> result, Mono<Void> pendingWrite) {

        static <V> FlightCompletion<V> of(FlightResult<V> result) {
            return new FlightCompletion<>(result, Mono.empty());
        }
    }

    private final ConcurrentMap<K, Flight> inFlight = new ConcurrentHashMap<>();
    private final AtomicInteger waiterCount = new AtomicInteger();
    private final CoalescerLimits limits;
    private final CoalescerListener listener;

    Flights(CoalescerLimits limits, CoalescerListener listener) {
        this.limits = limits;
        this.listener = listener;
    }

    /**
     * Joins the flight of the key, or starts one with these steps. A flight that has completed, and remains only for its write,
     * accepts the callers for which its value is usable. Other callers start a new flight, or they would get the same unusable
     * value again.
     *
     * @param isUsable whether the value of a completed flight is usable for this caller
     * @param steps    the steps of a new flight; emits one completion
     */
    Mono<FlightResult<V>> join(K key, Predicate<V> isUsable, Supplier<Mono<FlightCompletion<V>>> steps) {
        return Mono.defer(() -> {
            if (waiterCount.incrementAndGet() > limits.maxWaitersPerReplica()) {
                waiterCount.decrementAndGet();
                return Mono.just(new FlightResult.Rejected<>());
            }
            return joinableFlight(key, isUsable, steps).subscribe();
        });
    }

    private Flight joinableFlight(K key, Predicate<V> isUsable, Supplier<Mono<FlightCompletion<V>>> steps) {
        Flight flight = inFlight.computeIfAbsent(key, k -> new Flight(k, steps));
        while (!flight.mayJoin(isUsable)) {
            flight.remove();
            flight = inFlight.computeIfAbsent(key, k -> new Flight(k, steps));
        }
        return flight;
    }

    /** Whether a flight of the key is in progress. */
    boolean isInFlight(K key) {
        return inFlight.containsKey(key);
    }

    /**
     * Removes the flight of the key, so that the next caller starts a new one. The callers that have joined the old flight keep
     * it.
     */
    void forget(K key) {
        inFlight.remove(key);
    }

    /** The waiters of the key's flight; 0 when there is none. */
    int waiterCount(K key) {
        Flight flight = inFlight.get(key);
        return flight == null ? 0 : flight.waiters.get();
    }

    /** The number of flights in progress. */
    int flightCount() {
        return inFlight.size();
    }

    /** The waiters of all flights. */
    int waiterCount() {
        return waiterCount.get();
    }

    private final class Flight {

        private final K key;
        private final Mono<FlightResult<V>> result;
        private final AtomicInteger waiters = new AtomicInteger();
        private volatile Optional<FlightResult<V>> completedResult = Optional.empty();

        Flight(K key, Supplier<Mono<FlightCompletion<V>>> steps) {
            this.key = key;
            // cache(), not share(): the cancellation of the last waiter must not cancel the flight. The context is empty: the
            // first waiter's trace and security context must not apply to the other waiters.
            this.result = Mono.defer(steps)
                    .switchIfEmpty(Mono.error(() -> new IllegalStateException("the flight ended without a result")))
                    .doOnNext(this::complete)
                    .doOnError(e -> remove())
                    .map(FlightCompletion::result)
                    .contextWrite(waiter -> Context.empty())
                    .cache();
        }

        /** A flight in progress accepts every caller. A failure is only for the callers that waited, never for later ones. */
        boolean mayJoin(Predicate<V> isUsable) {
            return completedResult.map(end -> switch (end) {
                case FlightResult.Value<V> value -> isUsable.test(value.value());
                case FlightResult.Uncoalesced<V> uncoalesced -> true;
                case FlightResult.FlightFailed<V> failed -> false;
                case FlightResult.Rejected<V> rejected -> false;
            }).orElse(true);
        }

        Mono<FlightResult<V>> subscribe() {
            if (waiters.incrementAndGet() > limits.maxWaitersPerKey()) {
                releaseWaiter();
                return Mono.just(new FlightResult.Rejected<>());
            }
            // using() releases the waiter before it emits (eager): a client that repeats its request at once must not be
            // rejected because of its own previous wait.
            return Mono.using(() -> this, flight -> result, Flight::releaseWaiter);
        }

        private void releaseWaiter() {
            waiters.decrementAndGet();
            waiterCount.decrementAndGet();
        }

        /** Starts the pending write before any waiter gets the result: other replicas wait for the write. */
        private void complete(FlightCompletion<V> completion) {
            completedResult = Optional.of(completion.result());
            completion.pendingWrite()
                    .doFinally(end -> remove())
                    .subscribe(ignored -> {},
                            cause -> listener.onBackgroundError("write after the end of a flight", cause));
        }

        /**
         * Removes this flight only: the key may have a new flight, after {@link #forget} or because a caller could not use the
         * value of this one.
         */
        private void remove() {
            inFlight.remove(key, this);
        }
    }
}
