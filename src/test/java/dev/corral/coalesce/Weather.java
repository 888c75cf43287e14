package dev.corral.coalesce;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;

/** How commands and rings travel between a replica and the tier; every mishap has a chance of its own. Not thread-safe. */
final class Weather {

    /**
     * The way of one command.
     *
     * @param arrives whether the tier gets it at all
     * @param answers whether its reply comes back
     * @param again   when it arrives a second time, replayed
     */
    record Trip(Duration there, Duration back, boolean arrives, boolean answers, Optional<Duration> again) {}

    private final RandomGenerator random;
    private final Duration quickest;
    private final Duration slowest;

    /** The chance that one leg takes as long as a command's timeout, or more. */
    double slow;
    double requestLost;
    double replyLost;
    double replayed;
    double ringLost;
    double ringTwice;
    double ringLate;

    private Weather(RandomGenerator random, Duration quickest, Duration slowest) {
        this.random = random;
        this.quickest = quickest;
        this.slowest = slowest;
    }

    /** Every leg takes exactly so long, and nothing is lost. */
    static Weather steady(RandomGenerator random, Duration leg) {
        return new Weather(random, leg, leg);
    }

    /** Legs take between a tenth of a millisecond and two, and nothing is lost until a chance is set. */
    static Weather variable(RandomGenerator random) {
        return new Weather(random, Duration.ofNanos(100_000), Duration.ofMillis(2));
    }

    /** Nothing is lost any more. */
    void calm() {
        slow = requestLost = replyLost = replayed = ringLost = ringTwice = ringLate = 0;
    }

    Trip trip() {
        return new Trip(leg(), leg(), !chance(requestLost), !chance(replyLost),
                chance(replayed) ? Optional.of(between(quickest, Duration.ofMillis(400))) : Optional.empty());
    }

    /** When a ring arrives: never, once or twice. */
    List<Duration> rings() {
        List<Duration> arrivals = new ArrayList<>();
        if (!chance(ringLost)) {
            arrivals.add(chance(ringLate) ? between(quickest, Duration.ofSeconds(3)) : leg());
        }
        if (chance(ringTwice)) {
            arrivals.add(between(quickest, Duration.ofSeconds(3)));
        }
        return arrivals;
    }

    boolean chance(double probability) {
        return probability > 0 && random.nextDouble() < probability;
    }

    Duration between(Duration least, Duration most) {
        long spread = most.minus(least).toNanos();
        return spread <= 0 ? least : least.plusNanos(random.nextLong(spread));
    }

    private Duration leg() {
        return chance(slow) ? between(Duration.ofMillis(20), Duration.ofMillis(150)) : between(quickest, slowest);
    }
}
