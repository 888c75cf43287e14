package dev.corral.redis.purge;

import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.purge.PurgeMirror;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgedName;
import dev.corral.redis.LuaScript;
import dev.corral.redis.RedisCircuitBreaker;
import dev.corral.redis.RedisConnections;
import dev.corral.redis.RedisKeys;
import dev.corral.redis.purge.PurgeStream.PurgePage;
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
 * The fleet's purges: written to the {@link PurgeStream} in Redis, mirrored in this process. Thread-safe.
 *
 * <p>The mirror follows the log and nothing else. It is read twice a second, and at once after a message: a message says only that
 * there is something to read, and many of them cost one read. When Redis was away, its log is read whole before the
 * {@link RedisCircuitBreaker} opens.
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
public final class RedisPurgeRegistry implements PurgeRegistry, AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(RedisPurgeRegistry.class);

    private static final Duration SYNC_INTERVAL = Duration.ofMillis(500);
    // One look may be late, or lost.
    private static final Duration MAX_SYNC_AGE = Duration.ofSeconds(1);
    // Entries are at most as old as this when they are filled, stored and read with clocks that are not quite alike.
    private static final Duration RETENTION_MARGIN = Duration.ofHours(1);
    // Names that are known by name: 25 MB, and as much again when they are long. Those beyond take 16 MB, or 32 if some are soft.
    private static final int MAX_MIRRORED_NAMES = 100_000;
    // Purges of which people are told; the fleet's record has them all.
    private static final int MAX_RECENT_PURGES = 50;
    // Answers owed to those who asked while this replica was behind; whoever is dropped gives up waiting by himself.
    private static final int MAX_PENDING_ACKNOWLEDGEMENTS = 1_000;

    // Replicas whose acknowledgements are remembered.
    private static final int MAX_ACKNOWLEDGING_REPLICAS = 1_000;

    /** An acknowledgement to send. */
    private record PendingAcknowledgement(long position, String requester) {}

    /** An acknowledgement received: this replica knows all purges up to the position. */
    private record Acknowledgement(long position, String replicaId) {}

    /** Positions after the one and not after the other: known here, and not in the log at a read. */
    private record LogGap(long afterPosition, long throughPosition) {}

    /** A purge as people are told of it, and when it was, by Redis' clock. */
    public record DescribedPurge(long position, Instant time, boolean isSoft, List<String> description,
            String requestedBy) {}

    private final RedisConnections connections;
    private final RedisKeys keys;
    private final RedisCircuitBreaker circuitBreaker;
    private final Duration retention;
    private final Scheduler scheduler;
    private final Ticker ticker;
    private final Clock localClock;
    private final FleetClock fleetClock;
    private final PurgeMirror mirror;
    private final Disposable.Swap syncLoop = Disposables.swap();
    private final SharedTask logReadTask = new SharedTask(Mono.defer(this::readToEnd));
    private final String replicaId;
    // What each replica has acknowledged last: that may come before Redis' reply with the purge's position. A hint, so that it may be
    // forgotten: it is, when there have been very many replicas.
    private final Map<String, Long> acknowledgedPositions = new ConcurrentHashMap<>();
    private final Sinks.Many<Acknowledgement> acknowledgements = Sinks.many().multicast().directBestEffort();

    private final Deque<PendingAcknowledgement> pendingAcknowledgements = new ArrayDeque<>(); // guarded by this
    private final Set<LogGap> gaps = new LinkedHashSet<>(); // guarded by this; since the last read that reached the end of the log
    private final Deque<DescribedPurge> recentPurges = new ArrayDeque<>(); // guarded by this; the latest first
    private volatile long syncedPosition; // written under this; the position up to which nothing of the log is missing here
    private volatile long lastSyncNanos; // nanoseconds of the ticker
    private volatile boolean hasEverSynced;

    /**
     * To be made before the connections are started.
     *
     * @param replicaId   unique for each process of the fleet
     * @param longestLife of any entry; purges are remembered an hour longer
     * @param scheduler   where the looks are timed
     * @param ticker      tells how long ago the fleet was heard from
     * @param machine     this machine's clock
     */
    public RedisPurgeRegistry(RedisConnections connections, RedisCircuitBreaker gate, String replicaId,
            Duration longestLife,
            Scheduler scheduler, Ticker ticker, Clock machine) {
        this.connections = connections;
        this.keys = connections.keys();
        this.circuitBreaker = gate;
        this.replicaId = replicaId;
        this.retention = longestLife.plus(RETENTION_MARGIN);
        this.scheduler = scheduler;
        this.ticker = ticker;
        this.localClock = machine;
        this.fleetClock = new FleetClock(machine);
        this.mirror = new PurgeMirror(retention, MAX_MIRRORED_NAMES);
        connections.subscribe(keys.purgeChannel(), this::onPurgeMessage);
        connections.subscribe(keys.acknowledgementChannel(replicaId), this::onAcknowledgement);
    }

    /** Begins to look at the log, at once and then twice a second. */
    public void start() {
        Flux<Boolean> ticks = Flux.interval(Duration.ZERO, SYNC_INTERVAL, scheduler).map(tick -> true);
        syncLoop.update(ticks
                .onBackpressureLatest()
                .concatMap(tick -> syncOnce(), 1)
                .subscribe(nothing -> {}, broken -> log.error("The purges are no longer mirrored", broken)));
    }

    @Override
    public void close() {
        syncLoop.dispose();
    }

    @Override
    public long latestPosition() {
        return mirror.latestPosition();
    }

    @Override
    public boolean isUpToDate() {
        return hasEverSynced && ticker.read() - lastSyncNanos < MAX_SYNC_AGE.toNanos();
    }

    @Override
    public long syncedPosition() {
        return syncedPosition;
    }

    @Override
    public PurgeVerdict verdict(List<String> names, long position) {
        return mirror.verdict(names, position);
    }

    /** {@inheritDoc} It costs the same whatever it hits. */
    @Override
    public Mono<PurgeReceipt> purge(Purge purge) {
        List<String> names = purge.names();
        if (names.isEmpty() || names.size() > PurgeRegistry.Purge.MAX_NAMES) {
            return Mono.error(new IllegalArgumentException(
                    "a purge names 1 to " + PurgeRegistry.Purge.MAX_NAMES + " things, not " + names.size()));
        }
        if (hasControlCharacter(names) || hasControlCharacter(purge.description())
                || hasControlCharacter(List.of(purge.requestedBy()))) {
            return Mono.error(new IllegalArgumentException("a name has a control character"));
        }
        return writePurge(purge).map(position -> new PurgeReceipt(position,
                purge.isAcknowledgementRequested() ? acknowledgementsOf(position) : Flux.empty()));
    }

    private static boolean hasControlCharacter(List<String> texts) {
        return texts.stream().anyMatch(text -> text.chars().anyMatch(Character::isISOControl));
    }

    /** The last purges people were told of, the latest first; at most 50, and none from before this replica's start. */
    public synchronized List<DescribedPurge> recentPurges() {
        return List.copyOf(recentPurges);
    }

    /** How long ago this replica was last in step with the fleet; longer than it can matter when it never was. */
    public Duration syncLag() {
        return hasEverSynced ? Duration.ofNanos(ticker.read() - lastSyncNanos) : retention;
    }

    /** The clock all replicas agree on, to within half a round trip to Redis. */
    public Clock fleetClock() {
        return fleetClock.withZone(ZoneOffset.UTC);
    }

    /** What the fleet's clock adds to this machine's. */
    public Duration clockOffset() {
        return fleetClock.offset();
    }

    /** Names in this replica's mirror. */
    public int mirroredNameCount() {
        return mirror.nameCount();
    }

    private Mono<Long> writePurge(Purge purge) {
        var whole = new PurgeStream.PurgeStreamEntry(0, PurgedName.of(purge.names(), purge.isSoft()),
                purge.description(), purge.requestedBy());
        String requester = purge.isAcknowledgementRequested() ? replicaId : "";
        return circuitBreaker
                .guard(Mono.defer(() -> PurgeStream.append(connections.controlCommands(), keys, whole, requester,
                        mirror.latestPosition(),
                        retention, PurgeStream.MAX_ELEMENTS)))
                .map(given -> {
                    applyWritten(
                            new PurgeStream.PurgeStreamEntry(given.position(), whole.names(), whole.description(),
                                    whole.requestedBy()),
                            given.previousPosition());
                    return given.position();
                });
    }

    /** A purge of this replica, as Redis has written it. */
    private void applyWritten(PurgeStream.PurgeStreamEntry purge, long previous) {
        mirror.purge(purge.names(), purge.position());
        if (!tryAdvance(purge, previous)) {
            logReadTask.requestRun();
        }
    }

    /** Whether nothing is missing between what had been read and this purge. */
    private synchronized boolean tryAdvance(PurgeStream.PurgeStreamEntry purge, long previous) {
        if (purge.position() > syncedPosition && previous == syncedPosition) {
            syncedPosition = purge.position();
            rememberPurge(purge);
        }
        return purge.position() <= syncedPosition;
    }

    /** The mirror of this replica has it by now. */
    private Flux<String> acknowledgementsOf(long position) {
        // In this order: what comes between is in both.
        Flux<Acknowledgement> since = acknowledgements.asFlux()
                .onBackpressureBuffer(1_000, BufferOverflowStrategy.DROP_OLDEST);
        Flux<Acknowledgement> before = Flux.defer(() -> Flux.fromIterable(acknowledgedPositions.entrySet()))
                .map(one -> new Acknowledgement(one.getValue(), one.getKey()));
        return Flux.merge(since, before)
                .filter(heard -> heard.position() >= position)
                .map(Acknowledgement::replicaId)
                .filter(replica -> !replica.equals(replicaId))
                .startWith(replicaId)
                .distinct();
    }

    /** On an event loop. */
    private void onAcknowledgement(String message) {
        int blank = message.indexOf(' ');
        if (blank > 0 && message.substring(0, blank).chars().allMatch(Character::isDigit) && blank <= 18) {
            var heard = new Acknowledgement(Long.parseLong(message.substring(0, blank)), message.substring(blank + 1));
            if (acknowledgedPositions.size() >= MAX_ACKNOWLEDGING_REPLICAS
                    && !acknowledgedPositions.containsKey(heard.replicaId())) {
                acknowledgedPositions.clear();
            }
            acknowledgedPositions.merge(heard.replicaId(), heard.position(), Math::max);
            acknowledgements.tryEmitNext(heard);
        }
    }

    /** On an event loop. Whatever the message says, only the log changes the mirror. */
    private void onPurgeMessage(String message) {
        Optional<PurgeStream.PurgeAnnouncement> announced = PurgeStream.parseAnnouncement(message);
        announced.ifPresent(this::queueAcknowledgement);
        if (announced.isPresent() && announced.get().position() <= syncedPosition) {
            sendDueAcknowledgements();
        } else {
            // If that fails, the log is read again within half a second.
            logReadTask.requestRun();
        }
    }

    private synchronized void queueAcknowledgement(PurgeStream.PurgeAnnouncement announced) {
        if (!announced.requesterId().isEmpty()) {
            pendingAcknowledgements.addLast(new PendingAcknowledgement(announced.position(), announced.requesterId()));
            if (pendingAcknowledgements.size() > MAX_PENDING_ACKNOWLEDGEMENTS) {
                pendingAcknowledgements.removeFirst();
            }
        }
    }

    /** Sends the acknowledgements that are due: one message to each replica that asked, however many purges it has made. */
    private void sendDueAcknowledgements() {
        takeDueAcknowledgements().forEach((requester, position) -> {
            Mono<Long> sent = Mono.defer(() -> Mono.fromCompletionStage(connections.controlCommands()
                    .publish(keys.acknowledgementChannel(requester), LuaScript.utf8Bytes(position + " " + replicaId))));
            circuitBreaker.guard(sent)
                    .subscribe(receivers -> {}, lost -> log.debug("An acknowledgement was lost", lost));
        });
    }

    /** By requester, the last position it asked for that is complete here. */
    private synchronized Map<String, Long> takeDueAcknowledgements() {
        var due = new TreeMap<String, Long>();
        pendingAcknowledgements.removeIf(one -> {
            boolean complete = one.position() <= syncedPosition;
            if (complete) {
                due.merge(one.requester(), one.position(), Math::max);
            }
            return complete;
        });
        return due;
    }

    private Mono<Void> syncOnce() {
        Mono<Void> answers = circuitBreaker.isAvailable() ? Mono.empty() : probeOtherConnections();
        return answers.then(sync())
                .doOnSuccess(done -> circuitBreaker.onPurgesSynced())
                // Said by the gate, once; the next look is the retry.
                .onErrorComplete();
    }

    /** Commands may pass again only when every connection serves, not this one alone. */
    private Mono<Void> probeOtherConnections() {
        Mono<byte[]> bodies = Mono
                .defer(() -> Mono.fromCompletionStage(connections.bodyCommands().get(keys.purgePosition())));
        Mono<Boolean> locks = Mono
                .defer(() -> connections.redisson().reactive().getLock(keys.purgePosition() + ":lock").isLocked());
        return circuitBreaker.executeUnguarded(bodies).then(circuitBreaker.executeUnguarded(locks)).then();
    }

    /**
     * Reads the log to its end, so that this replica knows of every purge that Redis had at the call; a log that is lost begins
     * again, with everything older purged. Concurrent callers share one read. Errors with
     * {@link dev.corral.coalesce.TierUnavailableException} when Redis does not reply within a command's time limit.
     */
    public Mono<Void> sync() {
        return logReadTask.awaitNextRun();
    }

    /** To be run by {@link #logReadTask} only: one at a time. */
    private Mono<Void> readToEnd() {
        long asked = ticker.read();
        return readPage().map(this::applyPage).repeat().takeUntil(end -> end).then(Mono.defer(() -> {
            List<PurgedName> missing = lostNames();
            if (missing.isEmpty()) {
                markSynced(asked);
                return Mono.empty();
            }
            return rewriteLostPurges(missing).then(Mono.defer(this::readToEnd));
        }));
    }

    private Mono<PurgePage> readPage() {
        return Mono.defer(() -> {
            Instant asked = localClock.instant();
            return circuitBreaker
                    .executeUnguarded(PurgeStream.readPage(connections.controlCommands(), keys, syncedPosition))
                    .doOnNext(page -> fleetClock.addSample(asked, page.redisTime(), localClock.instant()));
        });
    }

    /** True at the end of the log. */
    private boolean applyPage(PurgePage page) {
        mirror.raiseFloor(page.firstPosition());
        page.purges().forEach(purge -> mirror.purge(purge.names(), purge.position()));
        synchronized (this) {
            if (page.knownPosition() >= page.firstPosition() && page.knownPosition() != page.lastCommonPosition()) {
                gaps.add(new LogGap(page.lastCommonPosition(), page.knownPosition()));
            }
            page.purges().stream().filter(purge -> purge.position() > syncedPosition).forEach(this::rememberPurge);
            long last = page.purges().isEmpty() ? page.lastCommonPosition() : page.purges().getLast().position();
            syncedPosition = Math.max(syncedPosition, last);
        }
        sendDueAcknowledgements();
        return !page.hasMore();
    }

    /** Called under this, in the order of the log. */
    private void rememberPurge(PurgeStream.PurgeStreamEntry purge) {
        if (!purge.description().isEmpty()) {
            boolean soft = purge.names().stream().allMatch(PurgedName::isSoft);
            recentPurges.addFirst(
                    new DescribedPurge(purge.position(), PurgeRegistry.timeOf(purge.position()), soft,
                            purge.description(), purge.requestedBy()));
            if (recentPurges.size() > MAX_RECENT_PURGES) {
                recentPurges.removeLast();
            }
        }
    }

    private void markSynced(long nanos) {
        lastSyncNanos = nanos;
        hasEverSynced = true;
    }

    /**
     * To be asked at the end of the log: the names this replica knows to be purged at positions that the log does not have, and
     * that have not been purged since. A failover has lost them; a purge that the log has superseded is known by its later position.
     */
    private synchronized List<PurgedName> lostNames() {
        List<PurgedName> missing = gaps.stream()
                .flatMap(gap -> mirror.purgedBetween(gap.afterPosition(), gap.throughPosition()).stream())
                .distinct()
                .toList();
        if (missing.isEmpty()) {
            gaps.clear();
        }
        return missing;
    }

    private Mono<Void> rewriteLostPurges(List<PurgedName> missing) {
        return Flux.fromIterable(missing)
                .buffer(PurgeRegistry.Purge.MAX_NAMES)
                .map(part -> new PurgeStream.PurgeStreamEntry(0, part, List.of(), ""))
                .concatMap(part -> circuitBreaker
                        .executeUnguarded(PurgeStream.append(connections.controlCommands(), keys, part, "",
                                mirror.latestPosition(), retention,
                                PurgeStream.MAX_ELEMENTS)))
                .then()
                .doOnSuccess(done -> log.warn("Redis had lost {} purged names: this replica has written them again",
                        missing.size()));
    }
}
