package dev.corral.management;

import io.github.resilience4j.consumer.CircularEventConsumer;
import io.github.resilience4j.consumer.EventConsumerRegistry;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * What Resilience4j's endpoints can tell of its events: only some. To keep an event takes a lock, and most are one or more per
 * request, on event loops. Thread-safe.
 */
public final class FilteredEventConsumerRegistry<T> implements EventConsumerRegistry<T> {

    private final ConcurrentMap<String, CircularEventConsumer<T>> consumers = new ConcurrentHashMap<>();
    private final Predicate<T> filter;

    /** @param kept must hold for events only that seldom happen, and never many at once */
    public FilteredEventConsumerRegistry(Predicate<T> kept) {
        this.filter = kept;
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
