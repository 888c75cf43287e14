package dev.corral.tier;

import dev.corral.coalesce.SharedTier.Latch;
import dev.corral.coalesce.SharedTier.Ring;
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
final class Inbox {

    private final ConcurrentMap<String, List<Ear>> ears = new ConcurrentHashMap<>();

    Latch open(String entry) {
        var ear = new Ear(entry);
        ears.merge(entry, List.of(ear), (some, one) -> Stream.concat(some.stream(), one.stream()).toList());
        return ear;
    }

    /** Rings whoever listens; a message nobody understands or waits for is dropped. */
    void heard(String message) {
        if (message.isEmpty()) {
            return;
        }
        Optional<Ring> ring = Stream.of(Ring.values())
                .filter(one -> letter(one).charAt(0) == message.charAt(0))
                .findFirst();
        ring.ifPresent(what -> ears.getOrDefault(message.substring(1), List.of()).forEach(ear -> ear.ring(what)));
    }

    /** How a ring begins its message. */
    static String letter(Ring ring) {
        return switch (ring) {
            case LANDED -> "L";
            case DISMISSED -> "D";
        };
    }

    private final class Ear implements Latch {

        private final String entry;
        private final Sinks.One<Ring> rung = Sinks.one();

        Ear(String entry) {
            this.entry = entry;
        }

        void ring(Ring ring) {
            rung.tryEmitValue(ring);
        }

        @Override
        public Mono<Ring> rung() {
            return rung.asMono();
        }

        @Override
        public void close() {
            ears.computeIfPresent(entry, (name, all) -> {
                List<Ear> rest = all.stream().filter(ear -> ear != this).toList();
                return rest.isEmpty() ? null : rest;
            });
        }
    }
}
