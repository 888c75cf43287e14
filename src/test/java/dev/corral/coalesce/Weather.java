package dev.corral.coalesce;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;

/** How commands and rings travel between a replica and the tier; every mishap has a chance of its own. Not thread-safe. */
final class Weather {

    /** Which leg of a command a lease depends on. */
    enum Urgent {
        NEITHER, THERE, BACK
    }

    /**
     * The way of one command.
     *
     * @param arrives whether the tier gets it at all; if not, its connection breaks
     * @param answers whether its reply comes back; if not, its connection breaks
     * @param again   when it arrives a second time, replayed
     */
    record Trip(Duration there, Duration back, boolean arrives, boolean answers, Optional<Duration> again) {}

    private final RandomGenerator random;
    private final Duration quickest;
    private final Duration slowest;

    /** The chance that one leg takes up to {@link #latest}. */
    double slow;
    /** The longest that a late leg takes. */
    Duration latest;
    /** The longest that a late leg takes which a lease depends on. */
    Duration urgent;
    /** A command is lost so often at most; then it gets through. */
    int mostLosses = Integer.MAX_VALUE;
    /** Whether what a look has found changed is read by another command, as it is from Redis. */
    boolean apart;
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
        this.latest = slowest;
        this.urgent = slowest;
    }

    /** Every leg takes exactly so long, and nothing is lost. */
    static Weather steady(RandomGenerator random, Duration leg) {
        return new Weather(random, leg, leg);
    }

    /** Legs take between a tenth of a millisecond and two, and nothing is lost until a chance is set. */
    static Weather variable(RandomGenerator random) {
        Weather weather = new Weather(random, Duration.ofNanos(100_000), Duration.ofMillis(2));
        weather.apart = true;
        return weather;
    }

    /** Nothing is late or lost any more. */
    void calm() {
        slow = requestLost = replyLost = replayed = ringLost = ringTwice = ringLate = 0;
    }

    /** @param tries how often the command has been sent before */
    Trip trip(Urgent leg, int tries) {
        boolean mayBeLost = tries < mostLosses;
        // What was lost may have taken a lease, which is not known before the next try.
        boolean urgentThere = leg == Urgent.THERE || (leg == Urgent.BACK && tries > 0);
        return new Trip(leg(urgentThere ? urgent : latest), leg(leg == Urgent.BACK ? urgent : latest),
                !(mayBeLost && chance(requestLost)), !(mayBeLost && chance(replyLost)),
                chance(replayed) ? Optional.of(between(quickest, Duration.ofMillis(400))) : Optional.empty());
    }

    /** The pause before a lost command is sent again: from 10 ms, doubled each time, to 200. */
    Duration pause(int tries) {
        Duration most = Duration.ofMillis(Math.min(200, 20L << Math.min(tries, 10)));
        return between(most.dividedBy(2), most);
    }

    /** When a ring arrives: never, once or twice. */
    List<Duration> rings() {
        List<Duration> arrivals = new ArrayList<>();
        if (!chance(ringLost)) {
            arrivals.add(chance(ringLate) ? between(quickest, Duration.ofSeconds(3)) : leg(latest));
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

    private Duration leg(Duration most) {
        return chance(slow) ? between(slowest, most) : between(quickest, slowest);
    }
}
