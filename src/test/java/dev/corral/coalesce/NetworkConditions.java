package dev.corral.coalesce;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;

/** How commands and rings travel between a replica and the tier; every mishap has a chance of its own. Not thread-safe. */
final class NetworkConditions {

    /** Which leg of a command a lease depends on. */
    enum CriticalLeg {
        NEITHER, REQUEST, REPLY
    }

    /**
     * The way of one command.
     *
     * @param requestArrives whether the tier gets it at all; if not, its connection breaks
     * @param replyArrives   whether its reply comes back; if not, its connection breaks
     * @param replayAfter    when it arrives a second time, replayed
     */
    record CommandTransit(Duration requestDelay, Duration replyDelay, boolean requestArrives, boolean replyArrives,
            Optional<Duration> replayAfter) {}

    private final RandomGenerator random;
    private final Duration minDelay;
    private final Duration maxDelay;

    /** The chance that one leg takes up to {@link #maxLateDelay}. */
    double lateProbability;
    /** The longest that a late leg takes. */
    Duration maxLateDelay;
    /** The longest that a late leg takes which a lease depends on. */
    Duration maxCriticalDelay;
    /** A command is lost so often at most; then it gets through. */
    int maxLosses = Integer.MAX_VALUE;
    /** Whether what a look has found changed is read by another command, as it is from Redis. */
    boolean readsSeparately;
    double requestLossProbability;
    double replyLossProbability;
    double replayProbability;
    double notificationLossProbability;
    double notificationDuplicateProbability;
    double notificationLateProbability;

    private NetworkConditions(RandomGenerator random, Duration quickest, Duration slowest) {
        this.random = random;
        this.minDelay = quickest;
        this.maxDelay = slowest;
        this.maxLateDelay = slowest;
        this.maxCriticalDelay = slowest;
    }

    /** Every leg takes exactly so long, and nothing is lost. */
    static NetworkConditions steady(RandomGenerator random, Duration leg) {
        return new NetworkConditions(random, leg, leg);
    }

    /** Legs take between a tenth of a millisecond and two, and nothing is lost until a chance is set. */
    static NetworkConditions variable(RandomGenerator random) {
        NetworkConditions weather = new NetworkConditions(random, Duration.ofNanos(100_000), Duration.ofMillis(2));
        weather.readsSeparately = true;
        return weather;
    }

    /** Nothing is late or lost any more. */
    void clearFaults() {
        lateProbability = requestLossProbability = replyLossProbability = replayProbability = notificationLossProbability = notificationDuplicateProbability = notificationLateProbability = 0;
    }

    /** @param tries how often the command has been sent before */
    CommandTransit transit(CriticalLeg leg, int tries) {
        boolean mayBeLost = tries < maxLosses;
        // What was lost may have taken a lease, which is not known before the next try.
        boolean urgentThere = leg == CriticalLeg.REQUEST || (leg == CriticalLeg.REPLY && tries > 0);
        return new CommandTransit(legDelay(urgentThere ? maxCriticalDelay : maxLateDelay),
                legDelay(leg == CriticalLeg.REPLY ? maxCriticalDelay : maxLateDelay),
                !(mayBeLost && chance(requestLossProbability)), !(mayBeLost && chance(replyLossProbability)),
                chance(replayProbability) ? Optional.of(between(minDelay, Duration.ofMillis(400))) : Optional.empty());
    }

    /** The pause before a lost command is sent again: from 10 ms, doubled each time, to 200. */
    Duration retryPause(int tries) {
        Duration most = Duration.ofMillis(Math.min(200, 20L << Math.min(tries, 10)));
        return between(most.dividedBy(2), most);
    }

    /** When a ring arrives: never, once or twice. */
    List<Duration> notificationDelays() {
        List<Duration> arrivals = new ArrayList<>();
        if (!chance(notificationLossProbability)) {
            arrivals.add(chance(notificationLateProbability)
                    ? between(minDelay, Duration.ofSeconds(3))
                    : legDelay(maxLateDelay));
        }
        if (chance(notificationDuplicateProbability)) {
            arrivals.add(between(minDelay, Duration.ofSeconds(3)));
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

    private Duration legDelay(Duration most) {
        return chance(lateProbability) ? between(maxDelay, most) : between(minDelay, maxDelay);
    }
}
