package dev.corral.origin;

import dev.corral.origin.OriginCircuitBreaker.BreakerPermission;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import java.time.Clock;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Decides whether a request may be sent to one origin: the circuit breaker of the route and that of the endpoint must let it pass,
 * and a slot of the bulkhead must be free. Never waits. Thread-safe. The breakers and the bulkhead are called directly, because
 * Resilience4j's Reactor operators return a permit at the first signal, long before a streamed body has ended.
 *
 * <p>
 * The route's breaker counts whether the origin can be reached, the endpoint's breaker whether it responds. So one slow endpoint
 * does not block its route.
 */
final class OriginAdmission {

    private final String originId;
    private final OriginCircuitBreaker routeBreaker;
    private final EndpointBreakers endpointBreakers;
    private final Bulkhead bulkhead;

    /** @param routePrefix the common prefix of the route's paths */
    OriginAdmission(String originId, String routePrefix, CircuitBreaker breaker, Bulkhead bulkhead, Clock clock) {
        this.originId = originId;
        this.routeBreaker = new OriginCircuitBreaker(originId, breaker, clock);
        this.endpointBreakers = new EndpointBreakers(originId, routePrefix, breaker.getCircuitBreakerConfig(), clock);
        this.bulkhead = bulkhead;
        breaker.getEventPublisher().onReset(event -> endpointBreakers.reset());
    }

    /**
     * A permit for one exchange, which its holder must release.
     *
     * @param target the request target, which tells the endpoint
     * @throws OriginCircuitOpenException when a breaker is open
     * @throws OriginConcurrencyExceededException when all slots are in use
     */
    OriginPermit acquire(String target) {
        BreakerPermission originPermission = routeBreaker.tryAcquire()
                .orElseThrow(() -> new OriginCircuitOpenException(originId, routeBreaker.remainingOpenTime()));
        Optional<BreakerPermission> endpointPermission = Optional.empty();
        if (!routeBreaker.isBypassed()) {
            OriginCircuitBreaker endpoint = endpointBreakers.breakerOf(target);
            endpointPermission = endpoint.tryAcquire();
            if (endpointPermission.isEmpty()) {
                originPermission.releaseIfPending();
                throw new OriginCircuitOpenException(originId, endpoint.remainingOpenTime());
            }
        }
        if (!bulkhead.tryAcquirePermission()) {
            originPermission.releaseIfPending();
            endpointPermission.ifPresent(BreakerPermission::releaseIfPending);
            throw new OriginConcurrencyExceededException(originId);
        }
        return new OriginPermit(originPermission, endpointPermission);
    }

    EndpointBreakers endpointBreakers() {
        return endpointBreakers;
    }

    /** The right to one exchange. Each method may be called repeatedly and by any thread; only its first call has an effect. */
    final class OriginPermit {

        private final BreakerPermission originPermission;
        private final Optional<BreakerPermission> endpointPermission;
        private final AtomicBoolean slotHeld = new AtomicBoolean(true);

        private OriginPermit(BreakerPermission originPermission, Optional<BreakerPermission> endpointPermission) {
            this.originPermission = originPermission;
            this.endpointPermission = endpointPermission;
        }

        /** The origin sent a response, whatever its status. */
        void onResponse() {
            originPermission.onSuccess();
            endpointPermission.ifPresent(BreakerPermission::onSuccess);
        }

        /**
         * The origin failed. May follow {@link #onResponse} when a streamed body is truncated; the exchange then counts as a success
         * and as a failure, because a half-open breaker cannot wait for the end of a long body.
         *
         * <p>
         * An unreachable origin counts against the route's breaker, any other failure against the endpoint's.
         *
         * @param connected whether a connection to the origin was established
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

        /** Counts against the endpoint. In a half-open trial of the route's breaker it also counts against the origin. */
        private void recordNoResponse(OriginFailedException failure) {
            if (originPermission.isTrial()) {
                originPermission.onFailure(failure);
            } else {
                originPermission.releaseIfPending();
            }
            endpointPermission.ifPresent(endpoint -> endpoint.onFailure(failure));
        }

        /** Returns the breakers' permissions if the exchange has no outcome yet; it is then not counted. */
        void releaseIfPending() {
            originPermission.releaseIfPending();
            endpointPermission.ifPresent(BreakerPermission::releaseIfPending);
        }

        /** Returns the bulkhead's slot, and the breakers' permissions if the exchange has no outcome. */
        void release() {
            releaseIfPending();
            if (slotHeld.compareAndSet(true, false)) {
                bulkhead.onComplete();
            }
        }
    }
}
