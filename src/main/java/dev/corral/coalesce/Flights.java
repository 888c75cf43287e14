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
     * @param after what is still to do (the write); the flight stays in the map until then, so that there is no moment in
     *              which the value is neither in flight nor stored. Bounds itself in time
     */
    record Landing<V>(Outcome<V> outcome, Mono<Void> after) {

        static <V> Landing<V> of(Outcome<V> outcome) {
            return new Landing<>(outcome, Mono.empty());
        }
    }

    private final ConcurrentMap<K, Flight> inAir = new ConcurrentHashMap<>();
    private final AtomicInteger aboard = new AtomicInteger();
    private final Timing timing;
    private final Events events;

    Flights(Timing timing, Events events) {
        this.timing = timing;
        this.events = events;
    }

    /**
     * Boards the flight for the key, taking off on this course if there is none. A flight that has landed, and stays only for
     * its write, takes those its value serves; the others take off anew, or they would be told again what they cannot use.
     *
     * @param serves whether a value that is there already serves this caller
     */
    Mono<Outcome<V>> join(K key, Predicate<V> serves, Supplier<Mono<Landing<V>>> course) {
        return Mono.defer(() -> {
            if (aboard.incrementAndGet() > timing.perReplica()) {
                aboard.decrementAndGet();
                return Mono.just(new Outcome.Crowded<>());
            }
            return boardable(key, serves, course).board();
        });
    }

    private Flight boardable(K key, Predicate<V> serves, Supplier<Mono<Landing<V>>> course) {
        Flight flight = inAir.computeIfAbsent(key, k -> new Flight(k, course));
        while (!flight.takes(serves)) {
            flight.leave();
            flight = inAir.computeIfAbsent(key, k -> new Flight(k, course));
        }
        return flight;
    }

    /** Whether a flight for the key is in the air here. */
    boolean flies(K key) {
        return inAir.containsKey(key);
    }

    /** Lets the next caller take off anew. Those aboard keep the old flight. */
    void forget(K key) {
        inAir.remove(key);
    }

    /** Those who wait for the key's flight; 0 when there is none. */
    int aboard(K key) {
        Flight flight = inAir.get(key);
        return flight == null ? 0 : flight.waiters.get();
    }

    /** Flights in the air. */
    int size() {
        return inAir.size();
    }

    /** Those who wait, of all flights. */
    int aboard() {
        return aboard.get();
    }

    private final class Flight {

        private final K key;
        private final Mono<Outcome<V>> outcome;
        private final AtomicInteger waiters = new AtomicInteger();
        private volatile Optional<Outcome<V>> landed = Optional.empty();

        Flight(K key, Supplier<Mono<Landing<V>>> course) {
            this.key = key;
            // cache(), not share(): the last waiter's leaving must not cancel. An empty context: the first waiter's trace and
            // security must not become everybody's.
            this.outcome = Mono.defer(course)
                    .switchIfEmpty(Mono.error(() -> new IllegalStateException("the course ended without an outcome")))
                    .doOnNext(this::land)
                    .doOnError(broken -> leave())
                    .map(Landing::outcome)
                    .contextWrite(waiter -> Context.empty())
                    .cache();
        }

        /** In the air it takes everybody. A failure is for those who waited, and for nobody later. */
        boolean takes(Predicate<V> serves) {
            return landed.map(end -> switch (end) {
                case Outcome.Landed<V> there -> serves.test(there.value());
                case Outcome.Released<V> released -> true;
                case Outcome.Failed<V> failed -> false;
                case Outcome.Crowded<V> crowded -> false;
            }).orElse(true);
        }

        Mono<Outcome<V>> board() {
            if (waiters.incrementAndGet() > timing.perKey()) {
                disembark();
                return Mono.just(new Outcome.Crowded<>());
            }
            // The seat is free before its holder is told (eager): coming back at once must not crowd him out.
            return Mono.using(() -> this, flight -> outcome, Flight::disembark);
        }

        private void disembark() {
            waiters.decrementAndGet();
            aboard.decrementAndGet();
        }

        /** Starts what is still to do before anybody is told: other replicas wait for it. */
        private void land(Landing<V> landing) {
            landed = Optional.of(landing.outcome());
            landing.after()
                    .doFinally(end -> leave())
                    .subscribe(nothing -> {}, cause -> events.failed("after landing", cause));
        }

        /** Removes this flight, not the key: {@link #forget}, or one whom this flight does not serve, may have let another off. */
        private void leave() {
            inAir.remove(key, this);
        }
    }
}
