package dev.corral.tier;

import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Purges;
import dev.corral.tier.PurgeLog.Name;
import dev.corral.tier.PurgeLog.Page;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;

/**
 * The fleet's purges: written to the {@link PurgeLog} in Redis, mirrored in this process. Thread-safe.
 *
 * <p>The mirror hears of each purge by a message, and reads the log twice a second whether or not it has heard anything. A
 * message that does not follow on what is known here means that another was lost: the log is read at once. When Redis was away,
 * its log is read whole before the {@link RedisGate} opens.
 *
 * <p>A failover may take back purges that were acknowledged. A replica that knows positions the log does not have writes their
 * names to it again.
 *
 * <p>Whoever purges may ask to be told by each replica that it knows: each answers once nothing up to that purge is missing in its
 * mirror. An answer is a hint like any message; what a replica's mirror has reached is also in the fleet's record of it.
 *
 * <p>The same look compares this machine's clock with Redis'.
 */
public final class RedisPurges implements Purges, AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(RedisPurges.class);

    private static final Duration LOOK = Duration.ofMillis(500);
    // One look may be late, or lost.
    private static final Duration CURRENT = Duration.ofSeconds(1);
    // Entries are at most as old as this when they are filled, stored and read with clocks that are not quite alike.
    private static final Duration MARGIN = Duration.ofHours(1);
    // About 50 MB when the names are long.
    private static final int MIRRORED = 250_000;
    // Purges of which people are told; the fleet's record has them all.
    private static final int RECENT = 50;
    // Answers owed to those who asked while this replica was behind; whoever is dropped gives up waiting by himself.
    private static final int OWED = 1_000;

    /** An answer owed. */
    private record Owed(long position, String asker) {}

    /** An answer heard. */
    private record Heard(long position, String replica) {}

    /** A purge as people are told of it, and when it was, by Redis' clock. */
    public record Recent(long position, Instant time, boolean soft, List<String> told, String by) {}

    private final RedisConnections connections;
    private final RedisKeys keys;
    private final RedisGate gate;
    private final Duration keep;
    private final Scheduler scheduler;
    private final Ticker ticker;
    private final Clock machine;
    private final FleetTime time;
    private final PurgeMirror mirror;
    private final Sinks.Many<Boolean> gaps = Sinks.many().multicast().directBestEffort();
    private final Disposable.Swap looking = Disposables.swap();
    private final SharedRun reading = new SharedRun(Mono.defer(this::readOn));
    private final String replicaId;
    // Answers may come before Redis has told the asker its purge's position.
    private final Sinks.Many<Heard> answers = Sinks.many().replay().limit(10_000, Duration.ofSeconds(5));

    private final Deque<Owed> owed = new ArrayDeque<>(); // guarded by this
    private final Deque<Recent> recent = new ArrayDeque<>(); // guarded by this; the latest first
    private volatile long read; // written under this; the position up to which nothing of the log is missing here
    private volatile long heard; // nanoseconds of the ticker
    private volatile boolean everHeard;

    /**
     * To be made before the connections are started.
     *
     * @param replicaId   unique for each process of the fleet
     * @param longestLife of any entry; purges are remembered an hour longer
     * @param scheduler   where the looks are timed
     * @param ticker      tells how long ago the fleet was heard from
     * @param machine     this machine's clock
     */
    public RedisPurges(RedisConnections connections, RedisGate gate, String replicaId, Duration longestLife,
            Scheduler scheduler, Ticker ticker, Clock machine) {
        this.connections = connections;
        this.keys = connections.keys();
        this.gate = gate;
        this.replicaId = replicaId;
        this.keep = longestLife.plus(MARGIN);
        this.scheduler = scheduler;
        this.ticker = ticker;
        this.machine = machine;
        this.time = new FleetTime(machine);
        this.mirror = new PurgeMirror(keep, MIRRORED);
        connections.listen(keys.purgeChannel(), this::hear);
        connections.listen(keys.acknowledgementChannel(replicaId), this::acknowledged);
    }

    /** Begins to look at the log, at once and then twice a second. */
    public void start() {
        Flux<Boolean> ticks = Flux.interval(Duration.ZERO, LOOK, scheduler).map(tick -> true);
        looking.update(Flux.merge(ticks, gaps.asFlux())
                .onBackpressureLatest()
                .concatMap(tick -> look(), 1)
                .subscribe(nothing -> {}, broken -> log.error("The purges are no longer mirrored", broken)));
    }

    @Override
    public void close() {
        looking.dispose();
    }

    @Override
    public long position() {
        return mirror.position();
    }

    @Override
    public boolean current() {
        return everHeard && ticker.read() - heard < CURRENT.toNanos();
    }

    @Override
    public long complete() {
        return read;
    }

    @Override
    public Verdict verdict(List<String> names, long position) {
        return mirror.verdict(names, position);
    }

    /** {@inheritDoc} It costs the same whatever it hits. */
    @Override
    public Mono<Purged> purge(Purge purge) {
        List<String> names = purge.names();
        if (names.isEmpty() || names.size() > Purges.Purge.MOST) {
            return Mono.error(new IllegalArgumentException(
                    "a purge names 1 to " + Purges.Purge.MOST + " things, not " + names.size()));
        }
        if (controls(names) || controls(purge.told()) || controls(List.of(purge.by()))) {
            return Mono.error(new IllegalArgumentException("a name has a control character"));
        }
        return write(purge).map(position -> new Purged(position, purge.awaits() ? heardOf(position) : Flux.empty()));
    }

    private static boolean controls(List<String> texts) {
        return texts.stream().anyMatch(text -> text.chars().anyMatch(Character::isISOControl));
    }

    /** The last purges people were told of, the latest first; at most 50, and none from before this replica's start. */
    public synchronized List<Recent> recent() {
        return List.copyOf(recent);
    }

    /** How long ago this replica was last in step with the fleet; longer than it can matter when it never was. */
    public Duration lag() {
        return everHeard ? Duration.ofNanos(ticker.read() - heard) : keep;
    }

    /** The clock all replicas agree on, to within half a round trip to Redis. */
    public Clock fleetClock() {
        return time.withZone(ZoneOffset.UTC);
    }

    /** What the fleet's clock adds to this machine's. */
    public Duration clockOffset() {
        return time.offset();
    }

    /** Names in this replica's mirror. */
    public int mirrored() {
        return mirror.size();
    }

    private Mono<Long> write(Purge purge) {
        var whole = new PurgeLog.Purge(0, Name.of(purge.names(), purge.soft()), purge.told(), purge.by());
        String asker = purge.awaits() ? replicaId : "";
        return gate.guard(Mono.defer(
                () -> PurgeLog.write(connections.control(), keys, whole, asker, mirror.position(), keep)))
                .map(given -> {
                    var placed = new PurgeLog.Purge(given.position(), whole.names(), whole.told(), whole.by());
                    apply(new PurgeLog.Told(placed, given.previous(), ""));
                    return given.position();
                });
    }

    /** The mirror of this replica has it by now. */
    private Flux<String> heardOf(long position) {
        return answers.asFlux()
                .filter(heard -> heard.position() == position)
                .map(Heard::replica)
                .filter(replica -> !replica.equals(replicaId))
                .startWith(replicaId)
                .distinct();
    }

    /** On an event loop. */
    private void acknowledged(String message) {
        int blank = message.indexOf(' ');
        if (blank > 0 && message.substring(0, blank).chars().allMatch(Character::isDigit) && blank <= 18) {
            answers.tryEmitNext(new Heard(Long.parseLong(message.substring(0, blank)), message.substring(blank + 1)));
        }
    }

    /** On an event loop. */
    private void hear(String message) {
        PurgeLog.told(message).ifPresentOrElse(this::apply, this::lookNow);
    }

    private void apply(PurgeLog.Told told) {
        mirror.purge(told.purge().names(), told.purge().position());
        owe(told);
        if (follows(told.purge(), told.previous())) {
            answer();
        } else {
            lookNow();
        }
    }

    private synchronized void owe(PurgeLog.Told told) {
        if (!told.asker().isEmpty()) {
            owed.addLast(new Owed(told.purge().position(), told.asker()));
            if (owed.size() > OWED) {
                owed.removeFirst();
            }
        }
    }

    /** Tells those who asked about purges that are complete here. */
    private void answer() {
        for (Owed one : due()) {
            Mono<Long> told = Mono.defer(() -> Mono.fromCompletionStage(connections.control()
                    .publish(keys.acknowledgementChannel(one.asker()),
                            Script.bytes(one.position() + " " + replicaId))));
            gate.guard(told).subscribe(heard -> {}, lost -> log.debug("An answer to a purge was lost", lost));
        }
    }

    private synchronized List<Owed> due() {
        List<Owed> due = owed.stream().filter(one -> one.position() <= read).toList();
        owed.removeAll(due);
        return due;
    }

    /** If not done at once, it is within half a second. */
    private void lookNow() {
        gaps.tryEmitNext(true);
    }

    /** Whether nothing is missing between what had been read and this purge. */
    private synchronized boolean follows(PurgeLog.Purge purge, long previous) {
        if (purge.position() <= read) {
            return true;
        }
        if (previous != read || purge.names().isEmpty()) {
            return false;
        }
        read = purge.position();
        remember(purge);
        heardAt(ticker.read());
        return true;
    }

    private Mono<Void> look() {
        Mono<Void> answers = gate.open() ? Mono.empty() : othersAnswer();
        return answers.then(sync())
                .doOnSuccess(done -> gate.recovered())
                .doOnError(gate::missed)
                // Said by the gate, once; the next look is the retry.
                .onErrorComplete();
    }

    /** Commands may pass again only when every connection serves, not this one alone. */
    private Mono<Void> othersAnswer() {
        Mono<byte[]> bodies = Mono
                .defer(() -> Mono.fromCompletionStage(connections.bodies().get(keys.purgePosition())));
        Mono<Boolean> locks = Mono
                .defer(() -> connections.redisson().reactive().getLock(keys.purgePosition() + ":lock").isLocked());
        return gate.probe(bodies).then(gate.probe(locks)).then();
    }

    /**
     * Reads the log to its end, so that this replica knows of every purge that Redis had at the call; a log that is lost begins
     * again, with everything older purged. Concurrent callers share one read. Errors with
     * {@link dev.corral.coalesce.TierUnavailable} when Redis does not reply within a command's time limit.
     */
    public Mono<Void> sync() {
        return reading.next();
    }

    /** To be run by {@link #sync()} only: one at a time. */
    private Mono<Void> readOn() {
        long asked = ticker.read();
        return page().flatMap(page -> missing(page).isEmpty() ? take(page, asked) : assertAgain(page))
                .repeat()
                .takeUntil(finished -> finished)
                .then();
    }

    private Mono<Page> page() {
        return Mono.defer(() -> {
            Instant asked = machine.instant();
            return gate.probe(PurgeLog.read(connections.control(), keys, read))
                    .doOnNext(page -> time.compare(asked, page.now(), machine.instant()));
        });
    }

    /** True at the end of the log. */
    private Mono<Boolean> take(Page page, long asked) {
        mirror.raise(page.first());
        page.purges().forEach(purge -> mirror.purge(purge.names(), purge.position()));
        synchronized (this) {
            page.purges().stream().filter(purge -> purge.position() > read).forEach(this::remember);
            long last = page.purges().isEmpty() ? page.anchor() : page.purges().getLast().position();
            read = Math.max(read, last);
        }
        answer();
        if (!page.more()) {
            heardAt(asked);
        }
        return Mono.just(!page.more());
    }

    /** Called under this, in the order of the log. */
    private void remember(PurgeLog.Purge purge) {
        if (!purge.told().isEmpty()) {
            boolean soft = purge.names().stream().allMatch(Name::soft);
            recent.addFirst(
                    new Recent(purge.position(), Purges.time(purge.position()), soft, purge.told(), purge.by()));
            if (recent.size() > RECENT) {
                recent.removeLast();
            }
        }
    }

    private void heardAt(long nanos) {
        heard = nanos;
        everHeard = true;
    }

    /** The names this replica knows to be purged at positions the log does not have: a failover has lost them. */
    private List<Name> missing(Page page) {
        boolean within = page.mine() >= page.first() && page.mine() != page.anchor();
        return within ? mirror.between(page.anchor(), page.mine()) : List.of();
    }

    /** Then reads on from where the log and this replica last agreed. */
    private Mono<Boolean> assertAgain(Page page) {
        log.warn("Redis has lost purges after {}: this replica writes them again", page.anchor());
        Mono<Void> written = Flux.fromIterable(missing(page))
                .buffer(Purges.Purge.MOST)
                .map(part -> new PurgeLog.Purge(0, part, List.of(), ""))
                .concatMap(part -> gate.probe(
                        PurgeLog.write(connections.control(), keys, part, "", mirror.position(), keep)))
                .then();
        return written.then(Mono.fromSupplier(() -> {
            synchronized (this) {
                read = page.anchor();
            }
            return false;
        }));
    }
}
