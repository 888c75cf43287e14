package dev.corral.redis;

import dev.corral.coalesce.SharedTier.FillNotification;
import dev.corral.coalesce.SharedTier.FillSubscription;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.stream.Stream;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * Distributes the notifications that this replica receives: one Redis channel for all keys. A message is a code, one letter,
 * followed by the Redis key of the entry; it never contains a body. Thread-safe.
 */
final class NotificationChannel {

    private final ConcurrentMap<String, List<EntrySubscription>> subscriptions = new ConcurrentHashMap<>();

    FillSubscription subscribe(String entryKey) {
        var subscription = new EntrySubscription(entryKey);
        subscriptions.merge(entryKey, List.of(subscription),
                (current, added) -> Stream.concat(current.stream(), added.stream()).toList());
        return subscription;
    }

    /**
     * Emits the notification to the key's subscriptions. A message with an unknown code, or without a subscription, is dropped.
     */
    void onMessage(String message) {
        if (message.isEmpty()) {
            return;
        }
        Optional<FillNotification> notification = Stream.of(FillNotification.values())
                .filter(value -> wireCode(value).charAt(0) == message.charAt(0))
                .findFirst();
        notification.ifPresent(value -> subscriptions.getOrDefault(message.substring(1), List.of())
                .forEach(subscription -> subscription.emit(value)));
    }

    /** The code at the start of a notification's message. */
    static String wireCode(FillNotification notification) {
        return switch (notification) {
            case STATE_CHANGED -> "L";
            case NOT_SHAREABLE -> "D";
        };
    }

    private final class EntrySubscription implements FillSubscription {

        private final String entryKey;
        private final Sinks.One<FillNotification> notification = Sinks.one();

        EntrySubscription(String entryKey) {
            this.entryKey = entryKey;
        }

        void emit(FillNotification value) {
            notification.tryEmitValue(value);
        }

        @Override
        public Mono<FillNotification> notification() {
            return notification.asMono();
        }

        @Override
        public void close() {
            subscriptions.computeIfPresent(entryKey, (name, all) -> {
                List<EntrySubscription> rest = all.stream().filter(subscription -> subscription != this).toList();
                return rest.isEmpty() ? null : rest;
            });
        }
    }
}
