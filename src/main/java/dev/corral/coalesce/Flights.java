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
 * At most one flight per key in this process. Holds flights, never values. Thread-safe.
 *
 * <p>The shared promise is the map's value, so no caller knows whether it opened the flight. A flight is inert until the first
 * subscription: nothing runs inside {@code computeIfAbsent}. It then flies to its end whoever leaves, in a context of its own.
 */
final class Flights<K, V> {

    /**
     * The end of a flight.
     *
     * @param pendingWrite what is still to do (the write); the flight stays in the map until then, so that there is no moment in
     *              which the value is neither in flight nor stored. Bounds itself in time
     */
    record FlightCompletion<V>(FlightResult<V> result, Mono<Void> pendingWrite) {

        static <V> FlightCompletion<V> of(FlightResult<V> outcome) {
            return new FlightCompletion<>(outcome, Mono.empty());
        }
    }

    private final ConcurrentMap<K, Flight> inFlight = new ConcurrentHashMap<>();
    private final AtomicInteger waiterCount = new AtomicInteger();
    private final CoalescerLimits limits;
    private final CoalescerListener listener;

    Flights(CoalescerLimits timing, CoalescerListener events) {
        this.limits = timing;
        this.listener = events;
    }

    /**
     * Boards the flight for the key, taking off on this course if there is none. A flight that has landed, and stays only for
     * its write, takes those its value serves; the others take off anew, or they would be told again what they cannot use.
     *
     * @param serves whether a value that is there already serves this caller
     */
    Mono<FlightResult<V>> join(K key, Predicate<V> serves, Supplier<Mono<FlightCompletion<V>>> course) {
        return Mono.defer(() -> {
            if (waiterCount.incrementAndGet() > limits.maxWaitersPerReplica()) {
                waiterCount.decrementAndGet();
                return Mono.just(new FlightResult.Rejected<>());
            }
            return joinableFlight(key, serves, course).subscribe();
        });
    }

    private Flight joinableFlight(K key, Predicate<V> serves, Supplier<Mono<FlightCompletion<V>>> course) {
        Flight flight = inFlight.computeIfAbsent(key, k -> new Flight(k, course));
        while (!flight.mayJoin(serves)) {
            flight.remove();
            flight = inFlight.computeIfAbsent(key, k -> new Flight(k, course));
        }
        return flight;
    }

    /** Whether a flight for the key is in the air here. */
    boolean isInFlight(K key) {
        return inFlight.containsKey(key);
    }

    /** Lets the next caller take off anew. Those aboard keep the old flight. */
    void forget(K key) {
        inFlight.remove(key);
    }

    /** Those who wait for the key's flight; 0 when there is none. */
    int waiterCount(K key) {
        Flight flight = inFlight.get(key);
        return flight == null ? 0 : flight.waiters.get();
    }

    /** Flights in the air. */
    int flightCount() {
        return inFlight.size();
    }

    /** Those who wait, of all flights. */
    int waiterCount() {
        return waiterCount.get();
    }

    private final class Flight {

        private final K key;
        private final Mono<FlightResult<V>> result;
        private final AtomicInteger waiters = new AtomicInteger();
        private volatile Optional<FlightResult<V>> completedResult = Optional.empty();

        Flight(K key, Supplier<Mono<FlightCompletion<V>>> course) {
            this.key = key;
            // cache(), not share(): the last waiter's leaving must not cancel. An empty context: the first waiter's trace and
            // security must not become everybody's.
            this.result = Mono.defer(course)
                    .switchIfEmpty(Mono.error(() -> new IllegalStateException("the course ended without an outcome")))
                    .doOnNext(this::complete)
                    .doOnError(broken -> remove())
                    .map(FlightCompletion::result)
                    .contextWrite(waiter -> Context.empty())
                    .cache();
        }

        /** In the air it takes everybody. A failure is for those who waited, and for nobody later. */
        boolean mayJoin(Predicate<V> serves) {
            return completedResult.map(end -> switch (end) {
                case FlightResult.Value<V> there -> serves.test(there.value());
                case FlightResult.Uncoalesced<V> released -> true;
                case FlightResult.FlightFailed<V> failed -> false;
                case FlightResult.Rejected<V> crowded -> false;
            }).orElse(true);
        }

        Mono<FlightResult<V>> subscribe() {
            if (waiters.incrementAndGet() > limits.maxWaitersPerKey()) {
                releaseWaiter();
                return Mono.just(new FlightResult.Rejected<>());
            }
            // The seat is free before its holder is told (eager): coming back at once must not crowd him out.
            return Mono.using(() -> this, flight -> result, Flight::releaseWaiter);
        }

        private void releaseWaiter() {
            waiters.decrementAndGet();
            waiterCount.decrementAndGet();
        }

        /** Starts what is still to do before anybody is told: other replicas wait for it. */
        private void complete(FlightCompletion<V> landing) {
            completedResult = Optional.of(landing.result());
            landing.pendingWrite()
                    .doFinally(end -> remove())
                    .subscribe(nothing -> {}, cause -> listener.onBackgroundError("after landing", cause));
        }

        /** Removes this flight, not the key: {@link #forget}, or one whom this flight does not serve, may have let another off. */
        private void remove() {
            inFlight.remove(key, this);
        }
    }
}
