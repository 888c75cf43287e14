package dev.corral.origin;

import dev.corral.origin.OriginCircuitBreaker.BreakerPermission;
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
final class OriginAdmission {

    private final String originId;
    private final OriginCircuitBreaker routeBreaker;
    private final EndpointBreakers endpointBreakers;
    private final Bulkhead bulkhead;

    /** @param prefix the part of every path that the route has in common */
    OriginAdmission(String origin, String prefix, CircuitBreaker breaker, Bulkhead bulkhead, Clock clock) {
        this.originId = origin;
        this.routeBreaker = new OriginCircuitBreaker(origin, breaker, clock);
        this.endpointBreakers = new EndpointBreakers(origin, prefix, breaker.getCircuitBreakerConfig(), clock);
        this.bulkhead = bulkhead;
        breaker.getEventPublisher().onReset(reset -> endpointBreakers.reset());
    }

    /**
     * A permit, which must be left.
     *
     * @param target what is to be asked for
     * @throws OriginCircuitOpenException when a breaker is open
     * @throws OriginConcurrencyExceededException when all places are taken
     */
    OriginPermit acquire(String target) {
        BreakerPermission toOrigin = routeBreaker.tryAcquire()
                .orElseThrow(() -> new OriginCircuitOpenException(originId, routeBreaker.remainingOpenTime()));
        Optional<BreakerPermission> toEndpoint = Optional.empty();
        if (!routeBreaker.isBypassed()) {
            OriginCircuitBreaker endpoint = endpointBreakers.breakerOf(target);
            toEndpoint = endpoint.tryAcquire();
            if (toEndpoint.isEmpty()) {
                toOrigin.releaseIfPending();
                throw new OriginCircuitOpenException(originId, endpoint.remainingOpenTime());
            }
        }
        if (!bulkhead.tryAcquirePermission()) {
            toOrigin.releaseIfPending();
            toEndpoint.ifPresent(BreakerPermission::releaseIfPending);
            throw new OriginConcurrencyExceededException(originId);
        }
        return new OriginPermit(toOrigin, toEndpoint);
    }

    EndpointBreakers endpointBreakers() {
        return endpointBreakers;
    }

    /** The right to one exchange. Each method may be called again and by any thread; only its first call counts. */
    final class OriginPermit {

        private final BreakerPermission originPermission;
        private final Optional<BreakerPermission> endpointPermission;
        private final AtomicBoolean slotHeld = new AtomicBoolean(true);

        private OriginPermit(BreakerPermission toOrigin, Optional<BreakerPermission> toEndpoint) {
            this.originPermission = toOrigin;
            this.endpointPermission = toEndpoint;
        }

        /** The origin answered, whatever the status. */
        void onResponse() {
            originPermission.onSuccess();
            endpointPermission.ifPresent(BreakerPermission::onSuccess);
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
        void onFailure(OriginFailedException failure, boolean connected) {
            switch (failure.reason()) {
                case UNREACHABLE -> recordUnreachable(failure);
                case TIMED_OUT -> {
                    if (connected) {
                        recordNoResponse(failure);
                    } else {
                        recordUnreachable(failure);
                    }
                }
                case TRUNCATED, MALFORMED -> recordNoResponse(failure);
            }
        }

        private void recordUnreachable(OriginFailedException failure) {
            originPermission.onFailure(failure);
            endpointPermission.ifPresent(BreakerPermission::releaseIfPending);
        }

        /** Of the endpoint; for an origin that is being tried out it is the same whether it cannot be reached or does not respond. */
        private void recordNoResponse(OriginFailedException failure) {
            if (originPermission.isTrial()) {
                originPermission.onFailure(failure);
            } else {
                originPermission.releaseIfPending();
            }
            endpointPermission.ifPresent(endpoint -> endpoint.onFailure(failure));
        }

        /** If nothing is known of the exchange yet, the breakers forget it. */
        void releaseIfPending() {
            originPermission.releaseIfPending();
            endpointPermission.ifPresent(BreakerPermission::releaseIfPending);
        }

        /** Gives the place back. If the exchange ended neither way, the breakers forget it. */
        void release() {
            releaseIfPending();
            if (slotHeld.compareAndSet(true, false)) {
                bulkhead.onComplete();
            }
        }
    }
}
