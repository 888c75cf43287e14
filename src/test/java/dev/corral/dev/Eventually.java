package dev.corral.dev;

import java.time.Duration;
import java.time.Instant;
import java.util.function.BooleanSupplier;

/** Waits with a time limit for a condition that no event announces. */
final class Eventually {

    private Eventually() {}

    /**
     * Returns as soon as the condition holds.
     *
     * @throws IllegalStateException when it does not hold in time
     */
    static void await(String what, Duration bound, BooleanSupplier so) {
        Instant deadline = Instant.now().plus(bound);
        while (!so.getAsBoolean()) {
            if (Instant.now().isAfter(deadline)) {
                throw new IllegalStateException("not within " + bound.toMillis() + " ms: " + what);
            }
            try {
                Thread.sleep(10);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted while waiting: " + what, e);
            }
        }
    }
}
