package dev.corral.management;

import io.github.resilience4j.consumer.CircularEventConsumer;
import io.github.resilience4j.consumer.EventConsumerRegistry;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the events that Resilience4j's endpoints show, but only rare ones. Keeping an event takes a lock, and most events occur
 * once or more per request, on event loops. Thread-safe.
 */
public final class FilteredEventConsumerRegistry<T> implements EventConsumerRegistry<T> {

    private final ConcurrentMap<String, CircularEventConsumer<T>> consumers = new ConcurrentHashMap<>();
    private final Predicate<T> filter;

    /** @param filter selects the events to keep; it must select only events that are rare and never occur in bursts */
    public FilteredEventConsumerRegistry(Predicate<T> filter) {
        this.filter = filter;
    }

    @Override
    public CircularEventConsumer<T> createEventConsumer(String id, int bufferSize) {
        var consumer = new CircularEventConsumer<T>(bufferSize) {
            @Override
            public void consumeEvent(T event) {
                if (filter.test(event)) {
                    super.consumeEvent(event);
                }
            }
        };
        consumers.put(id, consumer);
        return consumer;
    }

    @Override
    public @Nullable CircularEventConsumer<T> removeEventConsumer(String id) {
        return consumers.remove(id);
    }

    @Override
    public @Nullable CircularEventConsumer<T> getEventConsumer(String id) {
        return consumers.get(id);
    }

    @Override
    public List<CircularEventConsumer<T>> getAllEventConsumer() {
        return List.copyOf(consumers.values());
    }
}
