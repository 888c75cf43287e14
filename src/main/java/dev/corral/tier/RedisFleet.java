package dev.corral.tier;

import io.lettuce.core.KeyValue;
import io.lettuce.core.ScriptOutputType;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

import static dev.corral.tier.Script.bytes;

/**
 * The replicas of the fleet, as recorded in Redis. A beat writes this replica's own status and its reply has a constant size, so
 * that its cost does not depend on the size of the fleet; the record is read only on demand. Thread-safe. Errors are
 * {@link dev.corral.coalesce.TierUnavailable}.
 *
 * <p>Each process has a random incarnation. Two processes with one replica id notice each other by it: the second one to beat is
 * recorded under its id, a slash and its incarnation, so that neither hides the other's purge position.
 */
public final class RedisFleet {

    /** After so long without a beat a replica no longer counts as live: two beats may be late. */
    public static final Duration LIVES = Duration.ofSeconds(3);

    /** How long a replica that no longer beats stays in the record. */
    private static final Duration REMEMBERED = Duration.ofMinutes(1);

    /** How far apart the points of the history are, and how many there are: the last five minutes. */
    private static final Duration STEP = Duration.ofSeconds(10);
    private static final int STEPS = 30;
    /** All replicas have written their point of a step within this time of its start: a beat a second, and a late one. */
    private static final Duration WRITTEN = Duration.ofSeconds(2);

    /**
     * A replica.
     *
     * @param seen   its last beat, by Redis' clock
     * @param live   whether that was within {@link #LIVES}
     * @param status what it reported about itself: JSON
     */
    public record Member(String id, Instant seen, boolean live, String status) {}

    /**
     * A replica without its status.
     *
     * @param seen     its last beat, by Redis' clock
     * @param live     whether that was within {@link #LIVES}
     * @param position the {@code position} of its status; 0 when it has none
     */
    public record Standing(String id, Instant seen, boolean live, long position) {}

    /**
     * The state of the fleet at one time in the past.
     *
     * @param time    when it was written
     * @param members the replicas that wrote; all are live, with the status of that time
     */
    public record Past(Instant time, List<Member> members) {}

    /** What came of a claim of the replica id. */
    public sealed interface Claim {

        /** The id is this process' own. */
        record Granted() implements Claim {}

        /**
         * Another process has the id and was live a moment ago.
         *
         * @param incarnation of that process
         * @param seen        its last beat, by Redis' clock; a dead process has no later one
         * @param left        until it no longer counts as live if it does not beat again
         */
        record Taken(String incarnation, Instant seen, Duration left) implements Claim {}
    }

    private static final String TIME = """
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            """;

    /** The process that has the id and is live; nothing is refused for want of a right that an older version did not need. */
    private static final String OTHER = TIME + """
            -- Of a field of the processes: who, and when it was seen, if it is live and not this process.
            local function other(field)
              local process = redis.pcall('HGET', KEYS[3], field)
              if type(process) ~= 'string' then
                return nil
              end
              local at, incarnation = string.match(process, '^(%d+) (.*)$')
              if not at or incarnation == ARGV[2] or now - at >= tonumber(ARGV[4]) then
                return nil
              end
              return incarnation, at
            end
            local function write(field, process, status)
              local stamp = string.format('%.0f ', now)
              -- Without room for it this replica is not seen; it serves all the same.
              redis.pcall('HSET', KEYS[1], field, stamp .. status)
              redis.pcall('HSET', KEYS[3], process, stamp .. ARGV[2])
              redis.pcall('ZADD', KEYS[2], now, field)
            end
            """;

    private static final Script CLAIM = Script.of("""
            -- KEYS: fleet, seen, processes | ARGV: replica, incarnation, status, milliseconds a replica lives
            """ + OTHER + """
            local incarnation, at = other(ARGV[1])
            if incarnation then
              return {incarnation, at, string.format('%.0f', at + ARGV[4] - now)}
            end
            write(ARGV[1], ARGV[1], ARGV[3])
            return {}
            """);

    /** The incarnation of another live process with this id, or ''. */
    private static final Script BEAT = Script
            .of("""
                    -- KEYS: fleet, seen, processes, step of the history
                    -- ARGV: replica, incarnation, status, milliseconds a replica lives, milliseconds to remember it, point, milliseconds to keep it
                    """
                    + OTHER
                    + """
                            local first = other(ARGV[1])
                            local field = first and ARGV[1] .. '/' .. ARGV[2] or ARGV[1]
                            -- The second process of an id has a field of its own, by which the first one learns of it.
                            write(field, first and ARGV[1] .. '/' or ARGV[1], ARGV[3])
                            local second = other(ARGV[1] .. '/')
                            -- Two that are gone are removed at each beat: no more can go in the long run.
                            local gone = redis.pcall('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[5], 'LIMIT', 0, 2)
                            for _, id in ipairs(gone) do
                              redis.pcall('HDEL', KEYS[1], id)
                              redis.pcall('HDEL', KEYS[3], id, id .. '/')
                              redis.pcall('ZREM', KEYS[2], id)
                            end
                            for i = 1, 3 do
                              -- With a time to live Redis might evict it, and a purge would be complete without those in it.
                              redis.call('PERSIST', KEYS[i])
                            end
                            if ARGV[6] ~= '' then
                              redis.pcall('HSET', KEYS[4], field, ARGV[6])
                              redis.call('PEXPIRE', KEYS[4], ARGV[7])
                            end
                            return first or second or ''
                            """);

    private static final Script LEAVE = Script.of("""
            -- KEYS: fleet, seen, processes | ARGV: replica, incarnation, '', milliseconds a replica lives
            """ + OTHER + """
            local first = other(ARGV[1])
            local field = first and ARGV[1] .. '/' .. ARGV[2] or ARGV[1]
            redis.call('HDEL', KEYS[1], field)
            redis.call('HDEL', KEYS[3], first and ARGV[1] .. '/' or ARGV[1])
            redis.pcall('ZREM', KEYS[2], field)
            return 1
            """);

    private static final Script MEMBERS = Script
            .of("""
                    -- KEYS: fleet | ARGV: milliseconds to remember a replica, and whether to give only the position of its status
                    """
                    + TIME
                    + """
                            local all = redis.call('HGETALL', KEYS[1])
                            local known = {string.format('%.0f', now)}
                            for i = 1, #all, 2 do
                              local at = tonumber(string.match(all[i + 1], '^%d+')) or 0
                              if now - at > tonumber(ARGV[1]) then
                                redis.call('HDEL', KEYS[1], all[i])
                              elseif ARGV[2] == '1' then
                                known[#known + 1] = all[i]
                                -- A quote within a JSON string has a backslash before it: this finds the member, and no text.
                                known[#known + 1] = string.format('%.0f ', at) .. (string.match(all[i + 1], '"position":(%d+)') or '0')
                              else
                                known[#known + 1] = all[i]
                                known[#known + 1] = all[i + 1]
                              end
                            end
                            return known
                            """);

    private final RedisConnections connections;
    private final RedisGate gate;
    private final String replicaId;
    private final String incarnation = token();
    private final RedisKeys keys;
    private final List<String> records;
    private volatile long written; // the step of the last point

    /** @param replicaId unique for each process of the fleet */
    public RedisFleet(RedisConnections connections, RedisGate gate, String replicaId) {
        this.connections = connections;
        this.gate = gate;
        this.replicaId = replicaId;
        this.keys = connections.keys();
        this.records = List.of(keys.fleet(), keys.fleetSeen(), keys.fleetProcesses());
    }

    private static String token() {
        var token = new byte[8];
        new SecureRandom().nextBytes(token);
        return HexFormat.of().formatHex(token);
    }

    /** The token of this process: 16 hex digits. */
    public String incarnation() {
        return incarnation;
    }

    /** Takes the replica id for this process, unless another process has it and is live. */
    public Mono<Claim> claim() {
        return gate
                .guard(Mono.defer(() -> CLAIM.<List<Object>>run(connections.control(), ScriptOutputType.MULTI, records,
                        bytes(replicaId), bytes(incarnation), bytes("{}"), bytes(LIVES.toMillis()))))
                .map(reply -> reply.isEmpty()
                        ? new Claim.Granted()
                        : new Claim.Taken(Script.text(reply.get(0)),
                                Instant.ofEpochMilli(Long.parseLong(Script.text(reply.get(1)))),
                                Duration.ofMillis(Long.parseLong(Script.text(reply.get(2))))));
    }

    /**
     * Records that this replica lives. A few hundred bytes more than the status, whatever the size of the fleet.
     *
     * @param status JSON
     * @return the incarnation of another live process with the same replica id; empty when there is none
     */
    public Mono<Optional<String>> beat(String status) {
        return beat(status, "", 0);
    }

    /**
     * As {@link #beat(String)}, and records a point of the history.
     *
     * @param point JSON, for the step of {@code now}
     */
    public Mono<Optional<String>> beat(String status, String point, Instant now) {
        return beat(status, point, step(now)).doOnNext(done -> written = step(now));
    }

    /** Whether the history has no point of this replica for the step of {@code now} yet. */
    public boolean wantsPoint(Instant now) {
        return step(now) != written;
    }

    private Mono<Optional<String>> beat(String status, String point, long step) {
        var all = new ArrayList<>(records);
        all.add(keys.fleetHistory(step));
        return gate
                .guard(Mono.defer(() -> BEAT.<byte[]>run(connections.control(), ScriptOutputType.VALUE, all,
                        bytes(replicaId), bytes(incarnation), bytes(status), bytes(LIVES.toMillis()),
                        bytes(REMEMBERED.toMillis()), bytes(point), bytes(STEP.multipliedBy(STEPS + 1).toMillis()))))
                .map(Script::text)
                .map(other -> other.isEmpty() ? Optional.empty() : Optional.of(other));
    }

    /** All replicas with their statuses, by id; about a kilobyte each. */
    public Mono<List<Member>> members() {
        return read("0").map(reply -> {
            var members = new ArrayList<Member>();
            for (Entry entry : entries(reply)) {
                members.add(new Member(entry.id, entry.seen, entry.live, entry.rest));
            }
            members.sort(Comparator.comparing(Member::id));
            return members;
        });
    }

    /** All replicas without their statuses, by id; some tens of bytes each. */
    public Mono<List<Standing>> standings() {
        return read("1").map(reply -> {
            var standings = new ArrayList<Standing>();
            for (Entry entry : entries(reply)) {
                standings.add(new Standing(entry.id, entry.seen, entry.live, Long.parseLong(entry.rest)));
            }
            standings.sort(Comparator.comparing(Standing::id));
            return standings;
        });
    }

    /** The last five minutes up to {@code now}, a point each ten seconds, the oldest first; without those nobody wrote. */
    public Mono<List<Past>> history(Instant now) {
        long last = step(now.minus(WRITTEN));
        return Flux.range(0, STEPS)
                // One after the other: leases are renewed on the same connection.
                .concatMap(i -> past(last - STEPS + 1 + i))
                .filter(past -> !past.members().isEmpty())
                .collectList();
    }

    private Mono<Past> past(long step) {
        Instant time = Instant.ofEpochMilli(step * STEP.toMillis());
        return gate
                .guard(Mono.defer(() -> Flux.from(Mono.fromCompletionStage(
                        connections.control().hgetall(keys.fleetHistory(step))))
                        .next()))
                .map(points -> points.entrySet()
                        .stream()
                        .map(point -> KeyValue.just(point.getKey(), Script.text(point.getValue())))
                        .map(point -> new Member(point.getKey(), time, true, point.getValue()))
                        .sorted(Comparator.comparing(Member::id))
                        .toList())
                .map(members -> new Past(time, members));
    }

    /** Removes this process from the record: no purge waits for it. */
    public Mono<Void> leave() {
        return gate
                .guard(Mono.defer(() -> LEAVE.<Long>run(connections.control(), ScriptOutputType.INTEGER, records,
                        bytes(replicaId), bytes(incarnation), bytes(""), bytes(LIVES.toMillis()))))
                .then();
    }

    private static long step(Instant now) {
        return Math.floorDiv(now.toEpochMilli(), STEP.toMillis());
    }

    private Mono<List<Object>> read(String compact) {
        List<String> fleet = List.of(keys.fleet());
        return gate.guard(Mono.defer(() -> MEMBERS.run(connections.control(), ScriptOutputType.MULTI, fleet,
                bytes(REMEMBERED.toMillis()), bytes(compact))));
    }

    private record Entry(String id, Instant seen, boolean live, String rest) {}

    private static List<Entry> entries(List<Object> reply) {
        Instant now = Instant.ofEpochMilli(Long.parseLong(Script.text(reply.getFirst())));
        var entries = new ArrayList<Entry>();
        for (int i = 1; i + 1 < reply.size(); i += 2) {
            String beat = Script.text(reply.get(i + 1));
            int blank = beat.indexOf(' ');
            Instant seen = Instant.ofEpochMilli(Long.parseLong(beat.substring(0, blank)));
            boolean live = Duration.between(seen, now).compareTo(LIVES) < 0;
            entries.add(new Entry(Script.text(reply.get(i)), seen, live, beat.substring(blank + 1)));
        }
        return entries;
    }
}
