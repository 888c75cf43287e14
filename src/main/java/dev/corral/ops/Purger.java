package dev.corral.ops;

import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Purged;
import dev.corral.coalesce.TierUnavailable;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * Purges for operators: written once, and, if they wait for it, known to every live replica. Each is one line of the audit log,
 * {@code corral.audit}. Thread-safe.
 */
public final class Purger {

    private static final Logger audit = LoggerFactory.getLogger("corral.audit");

    /** How often the fleet's own record is asked, in case that an answer was lost. */
    private static final Duration LOOK = Duration.ofMillis(250);

    /** What the fleet's record says of a replica: whether it lives, and the position up to which it knows all purges. */
    public record Standing(String id, boolean live, long position) {}

    /**
     * What became of a purge.
     *
     * @param names    what was purged, in words
     * @param complete whether each live replica is known to know; false as well when nobody waited
     * @param replicas those that were live, and what is known of them; empty when nobody waited
     * @param silent   those that the fleet's record still has and that were not live: they may have ended, or be cut off from Redis
     *                 and serve; empty when nobody waited
     */
    public record Result(long position, boolean soft, List<String> names, boolean complete, List<Heard> replicas,
            List<Silent> silent) {}

    /**
     * A replica that is not counted on.
     *
     * @param mayServeUntil by the fleet's clock, when it asks the origin for whatever was purged, if it serves at all
     */
    public record Silent(String replica, Instant mayServeUntil) {}

    /**
     * What is known of a replica.
     *
     * @param millis from the purge's request to its answer; 0 when there was none
     */
    public record Heard(String id, boolean acknowledged, double millis) {}

    private final Purges purges;
    private final Mono<List<Standing>> fleet;
    private final Duration bound;
    private final Duration maxIsolation;
    private final Scheduler scheduler;
    private final Meters meters;

    /**
     * @param fleet     the fleet's record, asked anew at each subscription
     * @param bound     how long to wait for replicas
     * @param maxIsolation how long a replica that is cut off from Redis serves without asking the origin
     * @param scheduler where the wait is timed
     */
    public Purger(Purges purges, Mono<List<Standing>> fleet, Duration bound, Duration maxIsolation, Scheduler scheduler,
            Meters meters) {
        this.purges = purges;
        this.fleet = fleet;
        this.bound = bound;
        this.maxIsolation = maxIsolation;
        this.scheduler = scheduler;
        this.meters = meters;
    }

    /**
     * Purges the targets in one step. Errors with {@link TierUnavailable} when that could not be written, with
     * {@link IllegalArgumentException} when it is too much for one step.
     *
     * @param by    for the record
     * @param waits whether to wait until the live replicas know, or the bound is reached
     */
    public Mono<Result> purge(List<Inventory.Target> targets, boolean soft, String by, boolean waits) {
        List<String> told = targets.stream().map(Inventory.Target::told).toList();
        var order = new Purges.Purge(names(targets), soft, few(told), by, waits);
        return Mono.defer(() -> {
            long start = scheduler.now(TimeUnit.NANOSECONDS);
            return purges.purge(order)
                    .flatMap(purged -> waits
                            ? awaited(purged, start).map(waiting -> result(purged, soft, told, waiting))
                            : Mono.just(
                                    new Result(purged.position(), soft, told, false, List.of(), List.of())))
                    .doOnNext(result -> tell(result, by, Duration.ofNanos(scheduler.now(TimeUnit.NANOSECONDS) - start),
                            waits))
                    .doOnError(error -> refused(error, told, by));
        });
    }

    /**
     * What a purge of these targets names, each once.
     *
     * @throws IllegalArgumentException when that is too much for one step
     */
    static List<String> names(List<Inventory.Target> targets) {
        List<String> names = targets.stream().flatMap(target -> target.names().stream()).distinct().toList();
        if (names.size() > Purges.Purge.MOST) {
            throw new IllegalArgumentException(
                    "A purge names 1 to " + Purges.Purge.MOST + " things, not " + names.size() + ": split the batch.");
        }
        return names;
    }

    /** The record is for people; a batch's first names tell enough. */
    private static List<String> few(List<String> told) {
        return told.size() <= 10
                ? told
                : Stream.concat(told.stream().limit(10), Stream.of("and " + (told.size() - 10) + " more")).toList();
    }

    /** What was heard, from whoever was live when the purge was written; within the bound. */
    private Mono<Waiting> awaited(Purged purged, long start) {
        return Mono.defer(() -> {
            var waiting = new Waiting(purged.position(), start);
            Flux<Boolean> answers = purged.heard().map(waiting::heard);
            Flux<Boolean> looks = Flux.interval(Duration.ZERO, LOOK, scheduler)
                    .onBackpressureDrop()
                    .concatMap(tick -> fleet.onErrorComplete(TierUnavailable.class))
                    .map(waiting::seen);
            return Flux.merge(answers, looks)
                    .takeUntil(all -> all)
                    .take(bound, scheduler)
                    .then(Mono.just(waiting));
        });
    }

    /** Who has been heard of. Signals come one by one. */
    private final class Waiting {

        private final long position;
        private final long start;
        private final Map<String, Double> heard = new TreeMap<>();
        private Set<String> live = Set.of();
        private Set<String> silent = Set.of();

        Waiting(long position, long start) {
            this.position = position;
            this.start = start;
        }

        synchronized boolean heard(String replica) {
            heard.putIfAbsent(replica,
                    TimeUnit.NANOSECONDS.toMicros(scheduler.now(TimeUnit.NANOSECONDS) - start) / 1e3);
            return all();
        }

        synchronized boolean seen(List<Standing> fleet) {
            if (live.isEmpty()) {
                live = fleet.stream().filter(Standing::live).map(Standing::id).collect(Collectors.toSet());
                silent = fleet.stream()
                        .filter(one -> !one.live())
                        .map(Standing::id)
                        .collect(Collectors.toCollection(TreeSet::new));
            }
            fleet.stream().filter(one -> one.position() >= position).map(Standing::id).forEach(this::heard);
            return all();
        }

        private boolean all() {
            return !live.isEmpty() && heard.keySet().containsAll(live);
        }

        /** Those that were not live at the first look, and have not been heard of since. */
        synchronized List<String> silent() {
            return silent.stream().filter(id -> !heard.containsKey(id)).toList();
        }

        /** Empty when it could not be found out who lives. */
        synchronized List<Heard> result() {
            if (live.isEmpty()) {
                return List.of();
            }
            var all = new TreeSet<>(live);
            all.addAll(heard.keySet());
            return all.stream()
                    .map(id -> new Heard(id, heard.containsKey(id), heard.getOrDefault(id, 0.0)))
                    .toList();
        }
    }

    private Result result(Purged purged, boolean soft, List<String> told, Waiting waiting) {
        List<Heard> heard = waiting.result();
        boolean complete = !heard.isEmpty() && heard.stream().allMatch(Heard::acknowledged);
        // However long it has been silent: the origin may have confirmed a response to it just before the purge.
        Instant until = Purges.time(purged.position()).plus(maxIsolation);
        List<Silent> silent = waiting.silent().stream().map(id -> new Silent(id, until)).toList();
        return new Result(purged.position(), soft, told, complete, heard, silent);
    }

    private void tell(Result result, String by, Duration took, boolean waited) {
        meters.purged(result.soft(), waited ? took : Duration.ZERO);
        long known = result.replicas().stream().filter(Heard::acknowledged).count();
        audit.info("purge position={} soft={} by={} names={} replicas={}/{} ms={}", result.position(), result.soft(),
                by,
                few(result.names()), known, result.replicas().size(), took.toMillis());
    }

    private void refused(Throwable error, List<String> told, String by) {
        if (error instanceof TierUnavailable) {
            meters.purgeFailed();
        }
        audit.warn("purge refused by={} names={}: {}", by, few(told), error.getMessage());
    }
}
