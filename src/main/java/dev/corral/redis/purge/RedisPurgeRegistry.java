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
 * The fleet's purges: written to the purge log in Redis (see {@link PurgeStream}) and mirrored in the memory of this replica
 * (see
 * {@link PurgeMirror}), where every request checks its entry. Thread-safe. Reads of the log are timed on a scheduler and run
 * one at
 * a time; messages arrive on an event loop; verdicts take no lock.
 *
 * <h2>Positions</h2>
 *
 * Every purge gets a position in one sequence of the fleet: the time of Redis in microseconds, and always more than any
 * position
 * before it. A leader reads the last position before it sends its request to the origin, and the entry that it publishes
 * carries
 * that position. A purge removes an entry that it matches if its position is higher than the entry's:
 *
 * <ol>
 * <li>Replica A, a leader, reads position 7 and requests the resource.
 * <li>The resource changes, and replica B purges it: position 8.
 * <li>A gets the old response and publishes it with position 7.
 * <li>Every replica that knows purge 8 discards the entry. No order of these steps makes an outdated response valid.
 * </ol>
 *
 * An entry with a position that is too old is only fetched once more than needed, so every doubt is resolved toward the older
 * position. That rule also allows a replica without Redis to use the last position that it knows.
 *
 * <h2>The floor</h2>
 *
 * The log is bounded, in age (no entry lives longer than its purges are kept) and in elements. Its first element is the floor:
 * every
 * entry with a position before it counts as purged. So a replica that starts, or was away for long, needs the log and nothing
 * else.
 *
 * <h2>Replay</h2>
 *
 * The mirror changes by the log only, apart from this replica's own purges, which it applies as soon as Redis has written them.
 * The
 * log is read twice a second, from the last synced position to its end, and additionally after each message on the purge
 * channel. A
 * message only says that there is something to read; many messages cause one read. Lost messages therefore delay a purge by
 * half a
 * second and never lose it. Each append returns the previous position as well: when it equals the synced position, nothing lies
 * in
 * between and no read is needed.
 *
 * <p>After an outage of Redis, the log is read to its end before {@link RedisCircuitBreaker} lets commands pass, so that no
 * entry is
 * read from Redis before the purges of the outage are known. Entries in the memory of this replica are used only while the last
 * complete read is at most a second old ({@link #isUpToDate}).
 *
 * <h2>Lost purges</h2>
 *
 * A failover may lose purges that the old master has acknowledged, because its replication is asynchronous:
 *
 * <ol>
 * <li>This replica has read the log up to position 8, and the new master's log ends at position 6.
 * <li>A page of the log starts from the last position that both know (6). The difference, after 6 up to 8, is recorded as a
 * gap.
 * <li>At the end of the log, the names that the mirror knows in the gap and that were not purged again are appended to the log,
 * at
 * new positions above 8.
 * </ol>
 *
 * If the log is missing as a whole, or does not match the stored last position, the first script that runs recreates it with a
 * floor
 * above every known position: everything is purged once.
 *
 * <h2>Acknowledgements</h2>
 *
 * A purge may request an acknowledgement from each replica. The request is part of the message on the purge channel. A replica
 * sends it, a position and its own id, on the channel of the requesting replica, as soon as it has read the log up to the
 * purge: it then knows every purge up to that position. Requests that arrive before the read are kept until it is complete, and
 * one
 * message
 * acknowledges all purges of one requester. Acknowledgements are hints, as all messages are, and may be lost; the synced
 * position of
 * each replica is also in the fleet's record (see {@code ReplicaRegistry}), which is authoritative.
 *
 * <h2>Clock</h2>
 *
 * Each read of the log also compares this machine's clock with the clock of Redis; see {@link #fleetClock}.
 */
public final class RedisPurgeRegistry implements PurgeRegistry, AutoCloseable {

    private static final Logger log = LoggerFactory.getLogger(RedisPurgeRegistry.class);

    private static final Duration SYNC_INTERVAL = Duration.ofMillis(500);
    // Two intervals: one read may be late or lost.
    private static final Duration MAX_SYNC_AGE = Duration.ofSeconds(1);
    // Purges are kept this much longer than an entry can live, because the clocks that limit an entry's lifetime differ
    // slightly.
    private static final Duration RETENTION_MARGIN = Duration.ofHours(1);
    // Names that are not coarsened: 25 MB, or twice as much when they are long. Coarsened names take 16 MB, or 32 MB if some
    // are soft.
    private static final int MAX_MIRRORED_NAMES = 100_000;
    // The purges in recentPurges(); the log has all of them.
    private static final int MAX_RECENT_PURGES = 50;
    // Acknowledgements to send when this replica has caught up. A requester whose acknowledgement is dropped has a time limit
    // of its own.
    private static final int MAX_PENDING_ACKNOWLEDGEMENTS = 1_000;

    // Replicas whose last acknowledgement is remembered.
    private static final int MAX_ACKNOWLEDGING_REPLICAS = 1_000;

    /** An acknowledgement that this replica has to send. */
    private record PendingAcknowledgement(long position, String requester) {}

    /** A received acknowledgement: the replica knows all purges up to the position. */
    private record Acknowledgement(long position, String replicaId) {}

    /**
     * The positions after {@code afterPosition}, up to {@code throughPosition}, that this replica knew and the log did not have
     * when it was read.
     */
    private record LogGap(long afterPosition, long throughPosition) {}

    /**
     * A purge in words for people.
     *
     * @param position    the position of the purge; microseconds
     * @param time        the time of the purge, by the clock of Redis
     * @param isSoft      whether all of its names are soft
     * @param description what was purged
     * @param requestedBy the user that requested the purge; empty when there is none
     */
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
    // The last acknowledgement of each replica: it may arrive before the reply of Redis with the purge's position. It is a
    // hint, so the map may be cleared when there have been very many replicas.
    private final Map<String, Long> acknowledgedPositions = new ConcurrentHashMap<>();
    private final Sinks.Many<Acknowledgement> acknowledgements = Sinks.many().multicast().directBestEffort();

    private final Deque<PendingAcknowledgement> pendingAcknowledgements = new ArrayDeque<>(); // guarded by this
    private final Set<LogGap> gaps = new LinkedHashSet<>(); // guarded by this; since the last read that reached the end of the log
    private final Deque<DescribedPurge> recentPurges = new ArrayDeque<>(); // guarded by this; the most recent is first
    private volatile long syncedPosition; // written under this; the position up to which this replica has read the log
    private volatile long lastSyncNanos; // nanoseconds of the ticker
    private volatile boolean hasEverSynced;

    /**
     * Must be created before the connections are started, because it subscribes to channels.
     *
     * @param replicaId   unique for each process of the fleet
     * @param maxLifetime the maximum lifetime of an entry; purges are kept an hour longer
     * @param scheduler   times the reads of the log
     * @param ticker      measures the time since the last complete read
     * @param localClock  this machine's clock
     */
    public RedisPurgeRegistry(RedisConnections connections, RedisCircuitBreaker circuitBreaker, String replicaId,
            Duration maxLifetime, Scheduler scheduler, Ticker ticker, Clock localClock) {
        this.connections = connections;
        this.keys = connections.keys();
        this.circuitBreaker = circuitBreaker;
        this.replicaId = replicaId;
        this.retention = maxLifetime.plus(RETENTION_MARGIN);
        this.scheduler = scheduler;
        this.ticker = ticker;
        this.localClock = localClock;
        this.fleetClock = new FleetClock(localClock);
        this.mirror = new PurgeMirror(retention, MAX_MIRRORED_NAMES);
        connections.subscribe(keys.purgeChannel(), this::onPurgeMessage);
        connections.subscribe(keys.acknowledgementChannel(replicaId), this::onAcknowledgement);
    }

    /** Starts to read the log: at once, and then twice a second. */
    public void start() {
        Flux<Boolean> ticks = Flux.interval(Duration.ZERO, SYNC_INTERVAL, scheduler).map(tick -> true);
        syncLoop.update(ticks
                .onBackpressureLatest()
                .concatMap(tick -> syncOnce(), 1)
                .subscribe(nothing -> {}, e -> log.error("Purge log reads stopped", e)));
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

    /** {@inheritDoc} Its cost does not depend on the number of entries that it matches. */
    @Override
    public Mono<PurgeReceipt> purge(Purge purge) {
        List<String> names = purge.names();
        if (names.isEmpty() || names.size() > PurgeRegistry.Purge.MAX_NAMES) {
            return Mono.error(new IllegalArgumentException(
                    "a purge needs 1 to " + PurgeRegistry.Purge.MAX_NAMES + " names, not " + names.size()));
        }
        if (hasControlCharacter(names) || hasControlCharacter(purge.description())
                || hasControlCharacter(List.of(purge.requestedBy()))) {
            return Mono.error(new IllegalArgumentException(
                    "a name, a description or the requester contains a control character"));
        }
        return writePurge(purge).map(position -> new PurgeReceipt(position,
                purge.isAcknowledgementRequested() ? acknowledgementsOf(position) : Flux.empty()));
    }

    private static boolean hasControlCharacter(List<String> texts) {
        return texts.stream().anyMatch(text -> text.chars().anyMatch(Character::isISOControl));
    }

    /**
     * The last purges that have a description, the most recent first; at most 50, from the log as far as this replica has read
     * it.
     */
    public synchronized List<DescribedPurge> recentPurges() {
        return List.copyOf(recentPurges);
    }

    /** The time since the last complete read of the log; the retention of purges when there was none. */
    public Duration syncLag() {
        return hasEverSynced ? Duration.ofNanos(ticker.read() - lastSyncNanos) : retention;
    }

    /** The fleet's clock, on which all replicas agree to within half a round trip to Redis. */
    public Clock fleetClock() {
        return fleetClock.withZone(ZoneOffset.UTC);
    }

    /** The offset of the fleet's clock to this machine's clock; may be negative. */
    public Duration clockOffset() {
        return fleetClock.offset();
    }

    /** The number of names in this replica's mirror, without coarsened ones. */
    public int mirroredNameCount() {
        return mirror.nameCount();
    }

    private Mono<Long> writePurge(Purge purge) {
        var entry = new PurgeStream.PurgeStreamEntry(0, PurgedName.of(purge.names(), purge.isSoft()),
                purge.description(), purge.requestedBy());
        String requester = purge.isAcknowledgementRequested() ? replicaId : "";
        return circuitBreaker
                .guard(Mono.defer(() -> PurgeStream.append(connections.controlCommands(), keys, entry, requester,
                        mirror.latestPosition(),
                        retention, PurgeStream.MAX_ELEMENTS)))
                .map(assigned -> {
                    applyWritten(
                            new PurgeStream.PurgeStreamEntry(assigned.position(), entry.names(), entry.description(),
                                    entry.requestedBy()),
                            assigned.previousPosition());
                    return assigned.position();
                });
    }

    /** Applies a purge of this replica that Redis has written. */
    private void applyWritten(PurgeStream.PurgeStreamEntry purge, long previous) {
        mirror.purge(purge.names(), purge.position());
        if (!tryAdvance(purge, previous)) {
            logReadTask.requestRun();
        }
    }

    /** Advances the synced position if no other purge lies between it and this one. False when the log must be read. */
    private synchronized boolean tryAdvance(PurgeStream.PurgeStreamEntry purge, long previous) {
        if (purge.position() > syncedPosition && previous == syncedPosition) {
            syncedPosition = purge.position();
            rememberPurge(purge);
        }
        return purge.position() <= syncedPosition;
    }

    /**
     * The replicas that know all purges up to the position; this replica is the first, because its mirror already has the
     * purge.
     */
    private Flux<String> acknowledgementsOf(long position) {
        // Subscribed in this order: an acknowledgement that arrives in between is in both.
        Flux<Acknowledgement> later = acknowledgements.asFlux()
                .onBackpressureBuffer(1_000, BufferOverflowStrategy.DROP_OLDEST);
        Flux<Acknowledgement> known = Flux.defer(() -> Flux.fromIterable(acknowledgedPositions.entrySet()))
                .map(entry -> new Acknowledgement(entry.getValue(), entry.getKey()));
        return Flux.merge(later, known)
                .filter(acknowledgement -> acknowledgement.position() >= position)
                .map(Acknowledgement::replicaId)
                .filter(replica -> !replica.equals(replicaId))
                .startWith(replicaId)
                .distinct();
    }

    /** Called on an event loop. */
    private void onAcknowledgement(String message) {
        int blank = message.indexOf(' ');
        if (blank > 0 && message.substring(0, blank).chars().allMatch(Character::isDigit) && blank <= 18) {
            var acknowledgement = new Acknowledgement(Long.parseLong(message.substring(0, blank)),
                    message.substring(blank + 1));
            if (acknowledgedPositions.size() >= MAX_ACKNOWLEDGING_REPLICAS
                    && !acknowledgedPositions.containsKey(acknowledgement.replicaId())) {
                acknowledgedPositions.clear();
            }
            acknowledgedPositions.merge(acknowledgement.replicaId(), acknowledgement.position(), Math::max);
            acknowledgements.tryEmitNext(acknowledgement);
        }
    }

    /** Called on an event loop. The message never changes the mirror; only the log does. */
    private void onPurgeMessage(String message) {
        Optional<PurgeStream.PurgeAnnouncement> announced = PurgeStream.parseAnnouncement(message);
        announced.ifPresent(this::queueAcknowledgement);
        if (announced.isPresent() && announced.get().position() <= syncedPosition) {
            sendDueAcknowledgements();
        } else {
            // If this read fails, the next one is at most half a second later.
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

    /** Sends the due acknowledgements: one message to each requesting replica, for all of its purges. */
    private void sendDueAcknowledgements() {
        takeDueAcknowledgements().forEach((requester, position) -> {
            Mono<Long> sent = Mono.defer(() -> Mono.fromCompletionStage(connections.controlCommands()
                    .publish(keys.acknowledgementChannel(requester), LuaScript.utf8Bytes(position + " " + replicaId))));
            circuitBreaker.guard(sent)
                    .subscribe(receivers -> {}, e -> log.debug("A purge acknowledgement was not sent", e));
        });
    }

    /** Removes the due acknowledgements: by requester, the last requested position that this replica has reached. */
    private synchronized Map<String, Long> takeDueAcknowledgements() {
        var due = new TreeMap<String, Long>();
        pendingAcknowledgements.removeIf(pending -> {
            boolean complete = pending.position() <= syncedPosition;
            if (complete) {
                due.merge(pending.requester(), pending.position(), Math::max);
            }
            return complete;
        });
        return due;
    }

    private Mono<Void> syncOnce() {
        Mono<Void> otherConnections = circuitBreaker.isAvailable() ? Mono.empty() : probeOtherConnections();
        return otherConnections.then(sync())
                .doOnSuccess(done -> circuitBreaker.onPurgesSynced())
                // The circuit breaker logs the error, once; the next read is the retry.
                .onErrorComplete();
    }

    /**
     * Probes the other connections: commands may pass again only when all connections work, not only the one that reads the
     * log.
     */
    private Mono<Void> probeOtherConnections() {
        Mono<byte[]> bodies = Mono
                .defer(() -> Mono.fromCompletionStage(connections.bodyCommands().get(keys.purgePosition())));
        Mono<Boolean> locks = Mono
                .defer(() -> connections.redisson().reactive().getLock(keys.purgePosition() + ":lock").isLocked());
        return circuitBreaker.executeUnguarded(bodies).then(circuitBreaker.executeUnguarded(locks)).then();
    }

    /**
     * Reads the log to its end, so that this replica knows every purge that Redis had at the time of the call. A lost log is
     * recreated, and everything older is purged. Concurrent callers share one read. Errors with {@link
     * dev.corral.coalesce.TierUnavailableException} when Redis does not respond within a command's time limit.
     */
    public Mono<Void> sync() {
        return logReadTask.awaitNextRun();
    }

    /** Run by {@link #logReadTask} only, so one at a time. */
    private Mono<Void> readToEnd() {
        long startNanos = ticker.read();
        return readPage().map(this::applyPage).repeat().takeUntil(end -> end).then(Mono.defer(() -> {
            List<PurgedName> lostNames = lostNames();
            if (lostNames.isEmpty()) {
                markSynced(startNanos);
                return Mono.empty();
            }
            return rewriteLostPurges(lostNames).then(Mono.defer(this::readToEnd));
        }));
    }

    private Mono<PurgePage> readPage() {
        return Mono.defer(() -> {
            Instant sentAt = localClock.instant();
            return circuitBreaker
                    .executeUnguarded(PurgeStream.readPage(connections.controlCommands(), keys, syncedPosition))
                    .doOnNext(page -> fleetClock.addSample(sentAt, page.redisTime(), localClock.instant()));
        });
    }

    /** Applies a page to the mirror. True at the end of the log. */
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

    /** Called with the lock held, in the order of the log. */
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
     * The names that a failover has lost: the mirror has them at positions of a gap, and they have not been purged since.
     * Called at the end of the log, when a name that the log has purged again is known by its later position.
     */
    private synchronized List<PurgedName> lostNames() {
        List<PurgedName> lostNames = gaps.stream()
                .flatMap(gap -> mirror.purgedBetween(gap.afterPosition(), gap.throughPosition()).stream())
                .distinct()
                .toList();
        if (lostNames.isEmpty()) {
            gaps.clear();
        }
        return lostNames;
    }

    private Mono<Void> rewriteLostPurges(List<PurgedName> lostNames) {
        return Flux.fromIterable(lostNames)
                .buffer(PurgeRegistry.Purge.MAX_NAMES)
                .map(names -> new PurgeStream.PurgeStreamEntry(0, names, List.of(), ""))
                .concatMap(entry -> circuitBreaker
                        .executeUnguarded(PurgeStream.append(connections.controlCommands(), keys, entry, "",
                                mirror.latestPosition(), retention,
                                PurgeStream.MAX_ELEMENTS)))
                .then()
                .doOnSuccess(done -> log.warn(
                        "Redis had lost {} purged names; this replica has written them to the log again",
                        lostNames.size()));
    }
}
