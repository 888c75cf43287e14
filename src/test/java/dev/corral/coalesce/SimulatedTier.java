package dev.corral.coalesce;

import dev.corral.coalesce.SharedTier.Attempt;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Ring;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Sight;
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
    enum Flaw {
        /** Publish asks neither whose lease it is nor what is there. */
        UNFENCED,
        /** The second look sees nothing. */
        BLIND,
        /** Renewals have no effect, but say they had. */
        FORGETFUL
    }

    private record Entry(Seen<Page> seen, long until) {}

    private record Lock(String holder, long until) {}

    private record Mark(Page failure, long at) {}

    private record Undo(long at, Runnable step) {}

    /**
     * A command that has arrived.
     *
     * @param dropped runs in its place when there is nobody to run it
     */
    private record Arrival(Runnable command, Runnable dropped) {}

    private static final Duration MARK_LIFE = Duration.ofSeconds(3);
    /** A failover loses no more than this. */
    static final Duration UNDOABLE = Duration.ofMillis(300);

    private final Scheduler time;
    private final Journal journal;
    private final Map<String, Entry> entries = new HashMap<>();
    private final Map<String, Lock> locks = new HashMap<>();
    private final Map<String, Mark> marks = new HashMap<>();
    private final Map<String, Set<String>> waiting = new HashMap<>();
    private final Map<String, SimulatedConnection> inboxes = new HashMap<>();
    private final Deque<Undo> undos = new ArrayDeque<>();
    private final List<Arrival> stalled = new ArrayList<>();
    private final Set<String> ghosts = new HashSet<>();
    private Duration skew = Duration.ZERO;
    private boolean stalls;
    private boolean away;
    private boolean refuses;

    final Set<Flaw> flaws = EnumSet.noneOf(Flaw.class);
    /** Fetches whose answer has been stored. */
    final Map<Integer, Long> storedAt = new HashMap<>();
    /** The purge position; never lost, for a purge is acknowledged only when the replicas of the server have it too. */
    long position;
    boolean full;
    /** Leases that somebody found lapsed. */
    int lapses;
    /** Those among them that were granted to an attempt whose connection had broken by then: nobody could know of them. */
    int ghostLapses;
    int renewals;
    int fenced;
    int fullRefusals;

    SimulatedTier(Scheduler time, Journal journal) {
        this.time = time;
        this.journal = journal;
    }

    void plug(String replica, SimulatedConnection connection) {
        inboxes.put(replica, connection);
    }

    /** Runs a command that has arrived: now, when the stall is over, or never. */
    void arrive(Runnable command, Runnable dropped) {
        if (stalls) {
            stalled.add(new Arrival(command, dropped));
        } else if (away) {
            dropped.run();
        } else {
            command.run();
        }
    }

    boolean answers() {
        return !away && !stalls;
    }

    /** Away so that everybody notices at once. */
    boolean refuses() {
        return refuses;
    }

    /** What arrives is lost from now on; where it refuses, everybody notices at once. */
    void goAway(boolean refusing) {
        away = true;
        refuses = refusing;
        changed();
    }

    void comeBack() {
        away = false;
        refuses = false;
        changed();
    }

    void stall() {
        stalls = true;
        changed();
    }

    void goOn() {
        stalls = false;
        List<Arrival> late = List.copyOf(stalled);
        stalled.clear();
        late.forEach(one -> arrive(one.command(), one.dropped()));
        changed();
    }

    private void changed() {
        inboxes.values().forEach(SimulatedConnection::reachabilityChanged);
    }

    /** The clock the server measures leases and lives by. */
    void step(Duration by) {
        skew = skew.plus(by);
    }

    /** The state as it was so long ago becomes the state. */
    void lose(Duration last) {
        long from = time.now(TimeUnit.NANOSECONDS) - last.toNanos();
        while (!undos.isEmpty() && undos.getLast().at() > from) {
            undos.removeLast().step().run();
        }
    }

    Optional<Seen<Page>> find(String key) {
        return get(entries, key).filter(entry -> entry.until() > now()).map(Entry::seen);
    }

    /** Whose the lease is; empty when it has lapsed. */
    Optional<String> holder(String key) {
        return lock(key).map(Lock::holder);
    }

    Attempt<String> tryLead(String key, String holder, Duration ttl) {
        Optional<Lock> lock = lock(key);
        if (lock.isPresent() && !lock.get().holder().equals(holder)) {
            return new Attempt.Lost<>(now());
        }
        if (lock.isEmpty() && locks.containsKey(key)) {
            lapsed(locks.get(key));
        }
        set(locks, key, Optional.of(new Lock(holder, now() + ttl.toNanos())));
        return new Attempt.Led<>(new Lease<>(key, holder));
    }

    /** An attempt that arrives when its connection has broken: nobody will hear that it was granted. */
    void ghost(String holder) {
        ghosts.add(holder);
    }

    /** Whether a flight of the replica may know that it has the lease. */
    boolean leads(String key, String replica) {
        return holder(key).filter(holder -> holder.startsWith(replica + "#") && !ghosts.contains(holder)).isPresent();
    }

    private void lapsed(Lock lock) {
        lapses++;
        if (ghosts.contains(lock.holder())) {
            ghostLapses++;
        }
        journal.note(() -> "the lease of " + lock.holder() + " has lapsed");
    }

    /** Counts the leases that have lapsed and were not looked for since. */
    void countLapsed() {
        locks.values().stream().filter(lock -> lock.until() <= now()).forEach(this::lapsed);
        locks.values().removeIf(lock -> lock.until() <= now());
    }

    /** The second look. */
    Optional<Seen<Page>> look(String key) {
        return flaws.contains(Flaw.BLIND) ? Optional.empty() : find(key);
    }

    boolean renew(Lease<String> lease, Duration ttl) {
        if (!holds(lease)) {
            return false;
        }
        renewals++;
        if (!flaws.contains(Flaw.FORGETFUL)) {
            set(locks, lease.key(), Optional.of(new Lock(lease.holder(), now() + ttl.toNanos())));
        }
        return true;
    }

    Published publish(Lease<String> lease, Optional<String> stoodOn, List<Write<String, Page>> writes) {
        if (!holds(lease) && !flaws.contains(Flaw.UNFENCED)) {
            if (repeated(lease, writes)) {
                return Published.STORED;
            }
            fenced++;
            return Published.FENCED;
        }
        Optional<String> there = find(lease.key()).map(Seen::version);
        boolean asks = Collections.disjoint(flaws, EnumSet.of(Flaw.UNFENCED, Flaw.BLIND));
        if (asks && there.isPresent() && !there.equals(stoodOn)) {
            fenced++;
            giveBack(lease.key(), Ring.LANDED);
            return Published.FENCED;
        }
        if (full) {
            fullRefusals++;
            giveBack(lease.key(), Ring.DISMISSED);
            return Published.FULL;
        }
        writes.forEach(write -> store(write, lease.holder()));
        giveBack(lease.key(), Ring.LANDED);
        return Published.STORED;
    }

    void release(Lease<String> lease, Ring ring) {
        if (holds(lease)) {
            giveBack(lease.key(), ring);
        }
    }

    void fail(Lease<String> lease, Page failure) {
        if (holds(lease)) {
            set(marks, lease.key(), Optional.of(new Mark(failure, now())));
            giveBack(lease.key(), Ring.LANDED);
        }
    }

    Sight<Page> follow(String key, Optional<String> version, long since, String replica) {
        Optional<Seen<Page>> seen = find(key);
        if (seen.isPresent() && !seen.map(Seen::version).equals(version)) {
            return new Sight.Changed<>(seen.get());
        }
        Optional<Mark> mark = get(marks, key).filter(m -> m.at() >= since && m.at() + MARK_LIFE.toNanos() > now());
        if (mark.isPresent()) {
            return new Sight.Failed<>(mark.get().failure());
        }
        Optional<Lock> lock = lock(key);
        if (lock.isEmpty()) {
            return new Sight.Free<>();
        }
        Set<String> more = new LinkedHashSet<>(waiting.getOrDefault(key, Set.of()));
        more.add(replica);
        set(waiting, key, Optional.of(more));
        return new Sight.Waiting<>(Duration.ofNanos(lock.get().until() - now()));
    }

    private void store(Write<String, Page> write, String version) {
        Page page = write.value();
        find(write.key()).map(Seen::value)
                .filter(older -> older.content() > page.content())
                .ifPresent(newer -> journal
                        .violated("rule 2: " + page + " overwrites the newer " + newer));
        set(entries, write.key(),
                Optional.of(new Entry(new Seen<>(page, version), now() + write.life().toNanos())));
        storedAt.put(page.fetch(), time.now(TimeUnit.NANOSECONDS));
    }

    private void giveBack(String key, Ring ring) {
        set(locks, key, Optional.empty());
        Set<String> replicas = waiting.getOrDefault(key, Set.of());
        set(waiting, key, Optional.empty());
        replicas.forEach(replica -> get(inboxes, replica).ifPresent(inbox -> inbox.send(key, ring)));
    }

    /** Sent a second time: what it stored is its own. */
    private boolean repeated(Lease<String> lease, List<Write<String, Page>> writes) {
        return !writes.isEmpty()
                && find(writes.getFirst().key()).map(Seen::version).equals(Optional.of(lease.holder()));
    }

    boolean holds(Lease<String> lease) {
        return holder(lease.key()).equals(Optional.of(lease.holder()));
    }

    private Optional<Lock> lock(String key) {
        return get(locks, key).filter(lock -> lock.until() > now());
    }

    private long now() {
        return time.now(TimeUnit.NANOSECONDS) + skew.toNanos();
    }

    private static <T> Optional<T> get(Map<String, T> map, String key) {
        return Optional.ofNullable(map.get(key));
    }

    private <T> void set(Map<String, T> map, String key, Optional<T> value) {
        Optional<T> before = get(map, key);
        put(map, key, value);
        long now = time.now(TimeUnit.NANOSECONDS);
        undos.addLast(new Undo(now, () -> put(map, key, before)));
        while (undos.getFirst().at() < now - UNDOABLE.toNanos()) {
            undos.removeFirst();
        }
    }

    private static <T> void put(Map<String, T> map, String key, Optional<T> value) {
        value.ifPresentOrElse(present -> map.put(key, present), () -> map.remove(key));
    }
}
