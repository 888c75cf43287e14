package dev.corral.tier;

import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Purges;
import dev.corral.tier.PurgeLog.Page;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.BufferOverflowStrategy;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;

/**
 * The fleet's purges: written to the {@link PurgeLog} in Redis, mirrored in this process. Thread-safe.
 *
 * <p>The mirror follows the log and nothing else. It is read twice a second, and at once after a message: a message says only that
 * there is something to read, and many of them cost one read. When Redis was away, its log is read whole before the
 * {@link RedisGate} opens.
 *
 * <p>A failover may take back purges that were acknowledged. A replica that knows positions the log does not have writes their
 * names to it again.
 *
 * <p>A purge may ask each replica for an acknowledgement: it is sent once nothing up to that purge is missing in the replica's
 * mirror, and holds for all positions before it. It is a hint like any message; what a replica's mirror has reached is also in the
 * fleet's record of it.
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
    // Names that are known by name: 25 MB, and as much again when they are long. Those beyond take 16 MB, or 32 if some are soft.
    private static final int MIRRORED = 100_000;
    // Purges of which people are told; the fleet's record has them all.
    private static final int RECENT = 50;
    // Answers owed to those who asked while this replica was behind; whoever is dropped gives up waiting by himself.
    private static final int OWED = 1_000;

    // Replicas whose acknowledgements are remembered.
    private static final int ACKNOWLEDGERS = 1_000;

    /** An acknowledgement to send. */
    private record Owed(long position, String requester) {}

    /** An acknowledgement received: this replica knows all purges up to the position. */
    private record Heard(long position, String replica) {}

    /** Positions after the one and not after the other: known here, and not in the log at a read. */
    private record Gap(long after, long upTo) {}

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
    private final Disposable.Swap looking = Disposables.swap();
    private final SharedRun reading = new SharedRun(Mono.defer(this::readOn));
    private final String replicaId;
    // What each replica has acknowledged last: that may come before Redis' reply with the purge's position. A hint, so that it may be
    // forgotten: it is, when there have been very many replicas.
    private final Map<String, Long> acknowledged = new ConcurrentHashMap<>();
    private final Sinks.Many<Heard> acknowledgements = Sinks.many().multicast().directBestEffort();

    private final Deque<Owed> owed = new ArrayDeque<>(); // guarded by this
    private final Set<Gap> gaps = new LinkedHashSet<>(); // guarded by this; since the last read that reached the end of the log
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
        connections.listen(keys.acknowledgementChannel(replicaId), this::hearAcknowledgement);
    }

    /** Begins to look at the log, at once and then twice a second. */
    public void start() {
        Flux<Boolean> ticks = Flux.interval(Duration.ZERO, LOOK, scheduler).map(tick -> true);
        looking.update(ticks
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
        var whole = new PurgeLog.Purge(0, PurgedName.of(purge.names(), purge.soft()), purge.told(), purge.by());
        String requester = purge.awaits() ? replicaId : "";
        return gate
                .guard(Mono.defer(() -> PurgeLog.write(connections.control(), keys, whole, requester, mirror.position(),
                        keep, PurgeLog.ELEMENTS)))
                .map(given -> {
                    apply(new PurgeLog.Purge(given.position(), whole.names(), whole.told(), whole.by()),
                            given.previous());
                    return given.position();
                });
    }

    /** A purge of this replica, as Redis has written it. */
    private void apply(PurgeLog.Purge purge, long previous) {
        mirror.purge(purge.names(), purge.position());
        if (!follows(purge, previous)) {
            reading.request();
        }
    }

    /** Whether nothing is missing between what had been read and this purge. */
    private synchronized boolean follows(PurgeLog.Purge purge, long previous) {
        if (purge.position() > read && previous == read) {
            read = purge.position();
            remember(purge);
        }
        return purge.position() <= read;
    }

    /** The mirror of this replica has it by now. */
    private Flux<String> heardOf(long position) {
        // In this order: what comes between is in both.
        Flux<Heard> since = acknowledgements.asFlux().onBackpressureBuffer(1_000, BufferOverflowStrategy.DROP_OLDEST);
        Flux<Heard> before = Flux.defer(() -> Flux.fromIterable(acknowledged.entrySet()))
                .map(one -> new Heard(one.getValue(), one.getKey()));
        return Flux.merge(since, before)
                .filter(heard -> heard.position() >= position)
                .map(Heard::replica)
                .filter(replica -> !replica.equals(replicaId))
                .startWith(replicaId)
                .distinct();
    }

    /** On an event loop. */
    private void hearAcknowledgement(String message) {
        int blank = message.indexOf(' ');
        if (blank > 0 && message.substring(0, blank).chars().allMatch(Character::isDigit) && blank <= 18) {
            var heard = new Heard(Long.parseLong(message.substring(0, blank)), message.substring(blank + 1));
            if (acknowledged.size() >= ACKNOWLEDGERS && !acknowledged.containsKey(heard.replica())) {
                acknowledged.clear();
            }
            acknowledged.merge(heard.replica(), heard.position(), Math::max);
            acknowledgements.tryEmitNext(heard);
        }
    }

    /** On an event loop. Whatever the message says, only the log changes the mirror. */
    private void hear(String message) {
        Optional<PurgeLog.Announcement> announced = PurgeLog.announcement(message);
        announced.ifPresent(this::owe);
        if (announced.isPresent() && announced.get().position() <= read) {
            acknowledge();
        } else {
            // If that fails, the log is read again within half a second.
            reading.request();
        }
    }

    private synchronized void owe(PurgeLog.Announcement announced) {
        if (!announced.requester().isEmpty()) {
            owed.addLast(new Owed(announced.position(), announced.requester()));
            if (owed.size() > OWED) {
                owed.removeFirst();
            }
        }
    }

    /** Sends the acknowledgements that are due: one message to each replica that asked, however many purges it has made. */
    private void acknowledge() {
        due().forEach((requester, position) -> {
            Mono<Long> sent = Mono.defer(() -> Mono.fromCompletionStage(connections.control()
                    .publish(keys.acknowledgementChannel(requester), Script.bytes(position + " " + replicaId))));
            gate.guard(sent).subscribe(receivers -> {}, lost -> log.debug("An acknowledgement was lost", lost));
        });
    }

    /** By requester, the last position it asked for that is complete here. */
    private synchronized Map<String, Long> due() {
        var due = new TreeMap<String, Long>();
        owed.removeIf(one -> {
            boolean complete = one.position() <= read;
            if (complete) {
                due.merge(one.requester(), one.position(), Math::max);
            }
            return complete;
        });
        return due;
    }

    private Mono<Void> look() {
        Mono<Void> answers = gate.open() ? Mono.empty() : othersAnswer();
        return answers.then(sync())
                .doOnSuccess(done -> gate.recovered())
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

    /** To be run by {@link #reading} only: one at a time. */
    private Mono<Void> readOn() {
        long asked = ticker.read();
        return page().map(this::take).repeat().takeUntil(end -> end).then(Mono.defer(() -> {
            List<PurgedName> missing = missing();
            if (missing.isEmpty()) {
                heardAt(asked);
                return Mono.empty();
            }
            return writeAgain(missing).then(Mono.defer(this::readOn));
        }));
    }

    private Mono<Page> page() {
        return Mono.defer(() -> {
            Instant asked = machine.instant();
            return gate.probe(PurgeLog.read(connections.control(), keys, read))
                    .doOnNext(page -> time.compare(asked, page.now(), machine.instant()));
        });
    }

    /** True at the end of the log. */
    private boolean take(Page page) {
        mirror.raise(page.first());
        page.purges().forEach(purge -> mirror.purge(purge.names(), purge.position()));
        synchronized (this) {
            if (page.mine() >= page.first() && page.mine() != page.anchor()) {
                gaps.add(new Gap(page.anchor(), page.mine()));
            }
            page.purges().stream().filter(purge -> purge.position() > read).forEach(this::remember);
            long last = page.purges().isEmpty() ? page.anchor() : page.purges().getLast().position();
            read = Math.max(read, last);
        }
        acknowledge();
        return !page.more();
    }

    /** Called under this, in the order of the log. */
    private void remember(PurgeLog.Purge purge) {
        if (!purge.told().isEmpty()) {
            boolean soft = purge.names().stream().allMatch(PurgedName::soft);
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

    /**
     * To be asked at the end of the log: the names this replica knows to be purged at positions that the log does not have, and
     * that have not been purged since. A failover has lost them; a purge that the log has superseded is known by its later position.
     */
    private synchronized List<PurgedName> missing() {
        List<PurgedName> missing = gaps.stream()
                .flatMap(gap -> mirror.between(gap.after(), gap.upTo()).stream())
                .distinct()
                .toList();
        if (missing.isEmpty()) {
            gaps.clear();
        }
        return missing;
    }

    private Mono<Void> writeAgain(List<PurgedName> missing) {
        return Flux.fromIterable(missing)
                .buffer(Purges.Purge.MOST)
                .map(part -> new PurgeLog.Purge(0, part, List.of(), ""))
                .concatMap(part -> gate
                        .probe(PurgeLog.write(connections.control(), keys, part, "", mirror.position(), keep,
                                PurgeLog.ELEMENTS)))
                .then()
                .doOnSuccess(done -> log.warn("Redis had lost {} purged names: this replica has written them again",
                        missing.size()));
    }
}
