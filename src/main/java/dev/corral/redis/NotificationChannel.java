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
 * Where this replica is rung: one channel for all keys. A message is a letter, what to do, and the entry's name; never a
 * body. Thread-safe.
 */
final class NotificationChannel {

    private final ConcurrentMap<String, List<EntrySubscription>> subscriptions = new ConcurrentHashMap<>();

    FillSubscription subscribe(String entry) {
        var ear = new EntrySubscription(entry);
        subscriptions.merge(entry, List.of(ear), (some, one) -> Stream.concat(some.stream(), one.stream()).toList());
        return ear;
    }

    /** Rings whoever listens; a message nobody understands or waits for is dropped. */
    void onMessage(String message) {
        if (message.isEmpty()) {
            return;
        }
        Optional<FillNotification> ring = Stream.of(FillNotification.values())
                .filter(one -> wireCode(one).charAt(0) == message.charAt(0))
                .findFirst();
        ring.ifPresent(
                what -> subscriptions.getOrDefault(message.substring(1), List.of()).forEach(ear -> ear.emit(what)));
    }

    /** How a ring begins its message. */
    static String wireCode(FillNotification ring) {
        return switch (ring) {
            case STATE_CHANGED -> "L";
            case NOT_SHAREABLE -> "D";
        };
    }

    private final class EntrySubscription implements FillSubscription {

        private final String entryKey;
        private final Sinks.One<FillNotification> notification = Sinks.one();

        EntrySubscription(String entry) {
            this.entryKey = entry;
        }

        void emit(FillNotification ring) {
            notification.tryEmitValue(ring);
        }

        @Override
        public Mono<FillNotification> notification() {
            return notification.asMono();
        }

        @Override
        public void close() {
            subscriptions.computeIfPresent(entryKey, (name, all) -> {
                List<EntrySubscription> rest = all.stream().filter(ear -> ear != this).toList();
                return rest.isEmpty() ? null : rest;
            });
        }
    }
}
