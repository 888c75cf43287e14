package dev.corral.management;

import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.event.CircuitBreakerEvent;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class FilteredEventConsumerRegistryTest {

    private final FilteredEventConsumerRegistry<CircuitBreakerEvent> events = new FilteredEventConsumerRegistry<>(
            event -> event.getEventType() == CircuitBreakerEvent.Type.STATE_TRANSITION);

    @Test
    void onlyMatchingEventsAreBuffered() {
        var consumer = events.createEventConsumer("shop", 10);
        var breaker = CircuitBreaker.ofDefaults("shop");
        breaker.getEventPublisher().onEvent(consumer);

        breaker.onSuccess(1, TimeUnit.MILLISECONDS);
        breaker.onError(1, TimeUnit.MILLISECONDS, new IllegalStateException("on purpose"));
        breaker.transitionToOpenState();

        assertThat(consumer.getBufferedEvents()).extracting(CircuitBreakerEvent::getEventType)
                .containsExactly(CircuitBreakerEvent.Type.STATE_TRANSITION);
        assertThat(events.getEventConsumer("shop")).isSameAs(consumer);
        assertThat(events.getAllEventConsumer()).containsExactly(consumer);
        assertThat(events.removeEventConsumer("shop")).isSameAs(consumer);
        assertThat(events.getAllEventConsumer()).isEmpty();
    }
}
