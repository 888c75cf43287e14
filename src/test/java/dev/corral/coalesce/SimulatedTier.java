package dev.corral.coalesce;

import dev.corral.coalesce.SharedTier.FillNotification;
import dev.corral.coalesce.SharedTier.FollowResult;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.LeaseAttempt;
import dev.corral.coalesce.SharedTier.PublishResult;
import dev.corral.coalesce.SharedTier.Versioned;
import dev.corral.coalesce.SharedTier.Write;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import reactor.core.scheduler.Scheduler;

/**
 * The server all replicas share, in virtual time: one command after the other, each at once. It can be away, stall, be full, have
 * its clock step and lose its last writes in a failover. How commands get here is the business of {@link SimulatedConnection}.
 */
final class SimulatedTier {

    /** What is wrong with this tier on purpose, to see whether the simulation finds it. */
    enum TierFlaw {
        /** Publish asks neither whose lease it is nor what is there. */
        UNFENCED,
        /** The second look sees nothing. */
        BLIND,
        /** Renewals have no effect, but say they had. */
        FORGETFUL
    }

    private record SimulatedEntry(Versioned<SimulatedResponse> seen, long expiresAt) {}

    private record SimulatedLock(String holder, long expiresAt) {}

    private record FailureMark(SimulatedResponse failure, long failedAt) {}

    private record UndoStep(long at, Runnable step) {}

    /**
     * A command that has arrived.
     *
     * @param onDropped runs in its place when there is nobody to run it
     */
    private record ArrivedCommand(Runnable command, Runnable onDropped) {}

    private static final Duration FAILURE_TTL = Duration.ofSeconds(3);
    /** A failover loses no more than this. */
    static final Duration MAX_LOST_TIME = Duration.ofMillis(300);

    private final Scheduler time;
    private final SimulationLog log;
    private final Map<String, SimulatedEntry> entries = new HashMap<>();
    private final Map<String, SimulatedLock> locks = new HashMap<>();
    private final Map<String, FailureMark> failures = new HashMap<>();
    private final Map<String, Set<String>> waiting = new HashMap<>();
    private final Map<String, SimulatedConnection> connections = new HashMap<>();
    private final Deque<UndoStep> undoSteps = new ArrayDeque<>();
    private final List<ArrivedCommand> stalledCommands = new ArrayList<>();
    private final Set<String> unheardHolders = new HashSet<>();
    private Duration clockOffset = Duration.ZERO;
    private boolean isStalled;
    private boolean isUnavailable;
    private boolean refusesConnections;

    final Set<TierFlaw> flaws = EnumSet.noneOf(TierFlaw.class);
    /** Fetches whose answer has been stored. */
    final Map<Integer, Long> storedAt = new HashMap<>();
    /** The purge position; never lost, for a purge is acknowledged only when the replicas of the server have it too. */
    long purgePosition;
    boolean full;
    /** Leases that somebody found lapsed. */
    int expiredLeases;
    /** Those among them that were granted to an attempt whose connection had broken by then: nobody could know of them. */
    int expiredUnheardLeases;
    int renewalCount;
    int fencedCount;
    int outOfMemoryCount;

    SimulatedTier(Scheduler time, SimulationLog journal) {
        this.time = time;
        this.log = journal;
    }

    void connect(String replica, SimulatedConnection connection) {
        connections.put(replica, connection);
    }

    /** Runs a command that has arrived: now, when the stall is over, or never. */
    void arrive(Runnable command, Runnable dropped) {
        if (isStalled) {
            stalledCommands.add(new ArrivedCommand(command, dropped));
        } else if (isUnavailable) {
            dropped.run();
        } else {
            command.run();
        }
    }

    boolean isReachable() {
        return !isUnavailable && !isStalled;
    }

    /** Away so that everybody notices at once. */
    boolean refusesConnections() {
        return refusesConnections;
    }

    /** What arrives is lost from now on; where it refuses, everybody notices at once. */
    void becomeUnavailable(boolean refusing) {
        isUnavailable = true;
        refusesConnections = refusing;
        notifyConnections();
    }

    void becomeAvailable() {
        isUnavailable = false;
        refusesConnections = false;
        notifyConnections();
    }

    void stall() {
        isStalled = true;
        notifyConnections();
    }

    void resume() {
        isStalled = false;
        List<ArrivedCommand> late = List.copyOf(stalledCommands);
        stalledCommands.clear();
        late.forEach(one -> arrive(one.command(), one.onDropped()));
        notifyConnections();
    }

    private void notifyConnections() {
        connections.values().forEach(SimulatedConnection::reachabilityChanged);
    }

    /** The clock the server measures leases and lives by. */
    void stepClock(Duration by) {
        clockOffset = clockOffset.plus(by);
    }

    /** The state as it was so long ago becomes the state. */
    void loseRecentWrites(Duration last) {
        long from = time.now(TimeUnit.NANOSECONDS) - last.toNanos();
        while (!undoSteps.isEmpty() && undoSteps.getLast().at() > from) {
            undoSteps.removeLast().step().run();
        }
    }

    Optional<Versioned<SimulatedResponse>> find(String key) {
        return get(entries, key).filter(entry -> entry.expiresAt() > now()).map(SimulatedEntry::seen);
    }

    /** Whose the lease is; empty when it has lapsed. */
    Optional<String> holder(String key) {
        return lock(key).map(SimulatedLock::holder);
    }

    LeaseAttempt<String> tryLead(String key, String holder, Duration ttl) {
        Optional<SimulatedLock> lock = lock(key);
        if (lock.isPresent() && !lock.get().holder().equals(holder)) {
            return new LeaseAttempt.HeldByOther<>(now());
        }
        if (lock.isEmpty() && locks.containsKey(key)) {
            recordExpiry(locks.get(key));
        }
        set(locks, key, Optional.of(new SimulatedLock(holder, now() + ttl.toNanos())));
        return new LeaseAttempt.Acquired<>(new Lease<>(key, holder));
    }

    /** An attempt that arrives when its connection has broken: nobody will hear that it was granted. */
    void markUnheard(String holder) {
        unheardHolders.add(holder);
    }

    /** Whether a flight of the replica may know that it has the lease. */
    boolean isLedBy(String key, String replica) {
        return holder(key).filter(holder -> holder.startsWith(replica + "#") && !unheardHolders.contains(holder))
                .isPresent();
    }

    private void recordExpiry(SimulatedLock lock) {
        expiredLeases++;
        if (unheardHolders.contains(lock.holder())) {
            expiredUnheardLeases++;
        }
        log.log(() -> "the lease of " + lock.holder() + " has lapsed");
    }

    /** Counts the leases that have lapsed and were not looked for since. */
    void countExpiredLeases() {
        locks.values().stream().filter(lock -> lock.expiresAt() <= now()).forEach(this::recordExpiry);
        locks.values().removeIf(lock -> lock.expiresAt() <= now());
    }

    /** The second look. */
    Optional<Versioned<SimulatedResponse>> secondRead(String key) {
        return flaws.contains(TierFlaw.BLIND) ? Optional.empty() : find(key);
    }

    boolean renew(Lease<String> lease, Duration ttl) {
        if (!holdsLease(lease)) {
            return false;
        }
        renewalCount++;
        if (!flaws.contains(TierFlaw.FORGETFUL)) {
            set(locks, lease.key(), Optional.of(new SimulatedLock(lease.holder(), now() + ttl.toNanos())));
        }
        return true;
    }

    PublishResult publish(Lease<String> lease, Optional<String> stoodOn,
            List<Write<String, SimulatedResponse>> writes) {
        if (!holdsLease(lease) && !flaws.contains(TierFlaw.UNFENCED)) {
            if (isRepeated(lease, writes)) {
                return PublishResult.STORED;
            }
            fencedCount++;
            return PublishResult.FENCED;
        }
        Optional<String> there = find(lease.key()).map(Versioned::version);
        boolean asks = Collections.disjoint(flaws, EnumSet.of(TierFlaw.UNFENCED, TierFlaw.BLIND));
        if (asks && there.isPresent() && !there.equals(stoodOn)) {
            fencedCount++;
            releaseLock(lease.key(), FillNotification.STATE_CHANGED);
            return PublishResult.FENCED;
        }
        if (full) {
            outOfMemoryCount++;
            releaseLock(lease.key(), FillNotification.NOT_SHAREABLE);
            return PublishResult.OUT_OF_MEMORY;
        }
        writes.forEach(write -> store(write, lease.holder()));
        releaseLock(lease.key(), FillNotification.STATE_CHANGED);
        return PublishResult.STORED;
    }

    void release(Lease<String> lease, FillNotification ring) {
        if (holdsLease(lease)) {
            releaseLock(lease.key(), ring);
        }
    }

    void publishFailure(Lease<String> lease, SimulatedResponse failure) {
        if (holdsLease(lease)) {
            set(failures, lease.key(), Optional.of(new FailureMark(failure, now())));
            releaseLock(lease.key(), FillNotification.STATE_CHANGED);
        }
    }

    FollowResult<SimulatedResponse> follow(String key, Optional<String> version, long since, String replica) {
        Optional<Versioned<SimulatedResponse>> seen = find(key);
        if (seen.isPresent() && !seen.map(Versioned::version).equals(version)) {
            return new FollowResult.Changed<>(seen.get());
        }
        Optional<FailureMark> mark = get(failures, key)
                .filter(m -> m.failedAt() >= since && m.failedAt() + FAILURE_TTL.toNanos() > now());
        if (mark.isPresent()) {
            return new FollowResult.LeaderFailed<>(mark.get().failure());
        }
        Optional<SimulatedLock> lock = lock(key);
        if (lock.isEmpty()) {
            return new FollowResult.Unlocked<>();
        }
        Set<String> more = new LinkedHashSet<>(waiting.getOrDefault(key, Set.of()));
        more.add(replica);
        set(waiting, key, Optional.of(more));
        return new FollowResult.Locked<>(Duration.ofNanos(lock.get().expiresAt() - now()));
    }

    private void store(Write<String, SimulatedResponse> write, String version) {
        SimulatedResponse page = write.value();
        find(write.key()).map(Versioned::value)
                .filter(older -> older.content() > page.content())
                .ifPresent(newer -> log
                        .recordViolation("rule 2: " + page + " overwrites the newer " + newer));
        set(entries, write.key(),
                Optional.of(new SimulatedEntry(new Versioned<>(page, version), now() + write.ttl().toNanos())));
        storedAt.put(page.fetch(), time.now(TimeUnit.NANOSECONDS));
    }

    private void releaseLock(String key, FillNotification ring) {
        set(locks, key, Optional.empty());
        Set<String> replicas = waiting.getOrDefault(key, Set.of());
        set(waiting, key, Optional.empty());
        replicas.forEach(replica -> get(connections, replica).ifPresent(inbox -> inbox.deliver(key, ring)));
    }

    /** Sent a second time: what it stored is its own. */
    private boolean isRepeated(Lease<String> lease, List<Write<String, SimulatedResponse>> writes) {
        return !writes.isEmpty()
                && find(writes.getFirst().key()).map(Versioned::version).equals(Optional.of(lease.holder()));
    }

    boolean holdsLease(Lease<String> lease) {
        return holder(lease.key()).equals(Optional.of(lease.holder()));
    }

    private Optional<SimulatedLock> lock(String key) {
        return get(locks, key).filter(lock -> lock.expiresAt() > now());
    }

    private long now() {
        return time.now(TimeUnit.NANOSECONDS) + clockOffset.toNanos();
    }

    private static <T> Optional<T> get(Map<String, T> map, String key) {
        return Optional.ofNullable(map.get(key));
    }

    private <T> void set(Map<String, T> map, String key, Optional<T> value) {
        Optional<T> before = get(map, key);
        put(map, key, value);
        long now = time.now(TimeUnit.NANOSECONDS);
        undoSteps.addLast(new UndoStep(now, () -> put(map, key, before)));
        while (undoSteps.getFirst().at() < now - MAX_LOST_TIME.toNanos()) {
            undoSteps.removeFirst();
        }
    }

    private static <T> void put(Map<String, T> map, String key, Optional<T> value) {
        value.ifPresentOrElse(present -> map.put(key, present), () -> map.remove(key));
    }
}
