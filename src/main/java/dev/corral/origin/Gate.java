package dev.corral.origin;

import dev.corral.origin.BreakerState.Permission;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import java.time.Clock;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * The way in to one origin: first the circuit breaker of the endpoint and that of the route, then a place among those under way. Never
 * waits. Thread-safe. Works them by hand, because their Reactor operators give a permit back at the first signal, long before a
 * streamed body is over.
 *
 * <p>
 * The route's breaker judges whether the origin can be reached, the endpoint's whether it responds: one slow endpoint does not shut
 * its route.
 */
final class Gate {

    private final String origin;
    private final BreakerState route;
    private final Endpoints endpoints;
    private final Bulkhead bulkhead;

    /** @param prefix the part of every path that the route has in common */
    Gate(String origin, String prefix, CircuitBreaker breaker, Bulkhead bulkhead, Clock clock) {
        this.origin = origin;
        this.route = new BreakerState(origin, breaker, clock);
        this.endpoints = new Endpoints(origin, prefix, breaker.getCircuitBreakerConfig(), clock);
        this.bulkhead = bulkhead;
        breaker.getEventPublisher().onReset(reset -> endpoints.reset());
    }

    /**
     * A permit, which must be left.
     *
     * @param target what is to be asked for
     * @throws OriginShut when a breaker is open
     * @throws OriginFull when all places are taken
     */
    Permit enter(String target) {
        Permission toOrigin = route.enter().orElseThrow(() -> new OriginShut(origin, route.remaining()));
        Optional<Permission> toEndpoint = Optional.empty();
        if (!route.passive()) {
            BreakerState endpoint = endpoints.of(target);
            toEndpoint = endpoint.enter();
            if (toEndpoint.isEmpty()) {
                toOrigin.forget();
                throw new OriginShut(origin, endpoint.remaining());
            }
        }
        if (!bulkhead.tryAcquirePermission()) {
            toOrigin.forget();
            toEndpoint.ifPresent(Permission::forget);
            throw new OriginFull(origin);
        }
        return new Permit(toOrigin, toEndpoint);
    }

    Endpoints endpoints() {
        return endpoints;
    }

    /** The right to one exchange. Each method may be called again and by any thread; only its first call counts. */
    final class Permit {

        private final Permission toOrigin;
        private final Optional<Permission> toEndpoint;
        private final AtomicBoolean inside = new AtomicBoolean(true);

        private Permit(Permission toOrigin, Optional<Permission> toEndpoint) {
            this.toOrigin = toOrigin;
            this.toEndpoint = toEndpoint;
        }

        /** The origin answered, whatever the status. */
        void answered() {
            toOrigin.succeeded();
            toEndpoint.ifPresent(Permission::succeeded);
        }

        /**
         * The origin failed: also after it had answered, when a streamed body breaks off. That one then counts as a success and a
         * failure, since a breaker that is half open cannot wait for the end of a long body.
         *
         * <p>
         * That it cannot be reached counts against the origin, all else against the endpoint.
         *
         * @param connected whether there was a connection to the origin
         */
        void failed(OriginFailed failure, boolean connected) {
            switch (failure.reason()) {
                case UNREACHABLE -> unreachable(failure);
                case TIMED_OUT -> {
                    if (connected) {
                        silent(failure);
                    } else {
                        unreachable(failure);
                    }
                }
                case CUT_SHORT, MALFORMED -> silent(failure);
            }
        }

        private void unreachable(OriginFailed failure) {
            toOrigin.failed(failure);
            toEndpoint.ifPresent(Permission::forget);
        }

        /** Of the endpoint; for an origin that is being tried out it is the same whether it cannot be reached or does not respond. */
        private void silent(OriginFailed failure) {
            if (toOrigin.trial()) {
                toOrigin.failed(failure);
            } else {
                toOrigin.forget();
            }
            toEndpoint.ifPresent(endpoint -> endpoint.failed(failure));
        }

        /** If nothing is known of the exchange yet, the breakers forget it. */
        void forget() {
            toOrigin.forget();
            toEndpoint.ifPresent(Permission::forget);
        }

        /** Gives the place back. If the exchange ended neither way, the breakers forget it. */
        void leave() {
            forget();
            if (inside.compareAndSet(true, false)) {
                bulkhead.onComplete();
            }
        }
    }
}
