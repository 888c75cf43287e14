package dev.corral.redis.fleet;

import dev.corral.redis.LuaScript;
import dev.corral.redis.RedisCircuitBreaker;
import dev.corral.redis.RedisConnections;
import dev.corral.redis.RedisKeys;
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

import static dev.corral.redis.LuaScript.utf8Bytes;

/**
 * The fleet's record in Redis: its replicas and their statuses. A heartbeat writes this replica's status and gets a reply of
 * constant size, so its cost does not depend on the size of the fleet; the record is read only on demand. Thread-safe. Errors
 * are {@link dev.corral.coalesce.TierUnavailableException}.
 *
 * <p>Each process has a random incarnation, by which two processes with the same replica id detect each other. The second one
 * is recorded under its id, a slash and its incarnation, so that neither hides the other's purge position.
 */
public final class ReplicaRegistry {

    /** The time without a heartbeat after which a replica no longer counts as live: two heartbeats may be late. */
    public static final Duration LIVENESS_TIMEOUT = Duration.ofSeconds(3);

    /** How long a replica without heartbeats stays in the record. */
    private static final Duration RECORD_RETENTION = Duration.ofMinutes(1);

    /** The interval of the history's points, and their number: the last five minutes. */
    private static final Duration HISTORY_STEP = Duration.ofSeconds(10);
    private static final int HISTORY_STEP_COUNT = 30;
    /**
     * The time after the start of a step within which all replicas have written their points: one heartbeat per second, and one
     * may be late.
     */
    private static final Duration HISTORY_WRITE_DELAY = Duration.ofSeconds(2);

    /**
     * A replica with its status.
     *
     * @param id            its replica id, or the id, a slash and its incarnation for a second process with that id
     * @param lastHeartbeat its last heartbeat, by the clock of Redis
     * @param isLive        whether that was within {@link #LIVENESS_TIMEOUT}
     * @param statusJson    the status that it has reported: JSON
     */
    public record ReplicaRecord(String id, Instant lastHeartbeat, boolean isLive, String statusJson) {}

    /**
     * A replica without its status.
     *
     * @param lastHeartbeat its last heartbeat, by the clock of Redis
     * @param isLive        whether that was within {@link #LIVENESS_TIMEOUT}
     * @param purgePosition the {@code position} in its status, in microseconds; 0 when it has none
     */
    public record ReplicaPurgePosition(String id, Instant lastHeartbeat, boolean isLive, long purgePosition) {}

    /**
     * The replicas of the fleet at one time in the past.
     *
     * @param time     the start of the step
     * @param replicas the replicas that wrote a point; all are live, with the point as the status
     */
    public record HistoryPoint(Instant time, List<ReplicaRecord> replicas) {}

    /** The result of a claim of the replica id. */
    public sealed interface ClaimResult {

        /** This process has the id. */
        record Granted() implements ClaimResult {}

        /**
         * Another process has the id and is live.
         *
         * @param incarnation       the incarnation of that process
         * @param lastHeartbeat     its last heartbeat, by the clock of Redis; a dead process will have no later one
         * @param remainingLiveness the time until it no longer counts as live, if it sends no further heartbeat
         */
        record Taken(String incarnation, Instant lastHeartbeat, Duration remainingLiveness) implements ClaimResult {}
    }

    private static final String TIME_LUA = """
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            """;

    /**
     * Finds another live process with the id, and writes a status. A missing ACL permission that an older version of Corral did
     * not need is no error.
     */
    private static final String OTHER_PROCESS_LUA = TIME_LUA + """
            -- The incarnation and heartbeat time of the process in a field, if it is live and not this process.
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
              -- If Redis is out of memory, this replica is missing from the record; it still serves requests.
              redis.pcall('HSET', KEYS[1], field, stamp .. status)
              redis.pcall('HSET', KEYS[3], process, stamp .. ARGV[2])
              redis.pcall('ZADD', KEYS[2], now, field)
            end
            """;

    private static final LuaScript CLAIM_SCRIPT = LuaScript
            .of("""
                    -- KEYS: statuses, heartbeats, processes | ARGV: replica, incarnation, status, liveness timeout in milliseconds
                    """
                    + OTHER_PROCESS_LUA + """
                            local incarnation, at = other(ARGV[1])
                            if incarnation then
                              return {incarnation, at, string.format('%.0f', at + ARGV[4] - now)}
                            end
                            write(ARGV[1], ARGV[1], ARGV[3])
                            return {}
                            """);

    /** Writes the status; returns the incarnation of another live process with this id, or ''. */
    private static final LuaScript HEARTBEAT_SCRIPT = LuaScript
            .of("""
                    -- KEYS: statuses, heartbeats, processes, step of the history
                    -- ARGV: replica, incarnation, status, liveness timeout, retention of the record, point, retention of the point;
                    -- times in milliseconds
                    """
                    + OTHER_PROCESS_LUA
                    + """
                            local first = other(ARGV[1])
                            local field = first and ARGV[1] .. '/' .. ARGV[2] or ARGV[1]
                            -- The second process with an id has a field of its own, by which the first one detects it.
                            write(field, first and ARGV[1] .. '/' or ARGV[1], ARGV[3])
                            local second = other(ARGV[1] .. '/')
                            -- Each heartbeat removes up to two expired replicas: in the long run no more can expire.
                            local expired = redis.pcall('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[5], 'LIMIT', 0, 2)
                            for _, id in ipairs(expired) do
                              redis.pcall('HDEL', KEYS[1], id)
                              redis.pcall('HDEL', KEYS[3], id, id .. '/')
                              redis.pcall('ZREM', KEYS[2], id)
                            end
                            for i = 1, 3 do
                              -- With a TTL Redis might evict the record, and a purge would count as complete without its replicas.
                              redis.call('PERSIST', KEYS[i])
                            end
                            if ARGV[6] ~= '' then
                              redis.pcall('HSET', KEYS[4], field, ARGV[6])
                              redis.call('PEXPIRE', KEYS[4], ARGV[7])
                            end
                            return first or second or ''
                            """);

    private static final LuaScript DEREGISTER_SCRIPT = LuaScript.of("""
            -- KEYS: statuses, heartbeats, processes | ARGV: replica, incarnation, '', liveness timeout in milliseconds
            """ + OTHER_PROCESS_LUA + """
            local first = other(ARGV[1])
            local field = first and ARGV[1] .. '/' .. ARGV[2] or ARGV[1]
            redis.call('HDEL', KEYS[1], field)
            redis.call('HDEL', KEYS[3], first and ARGV[1] .. '/' or ARGV[1])
            redis.pcall('ZREM', KEYS[2], field)
            return 1
            """);

    private static final LuaScript READ_REPLICAS_SCRIPT = LuaScript
            .of("""
                    -- KEYS: statuses | ARGV: retention in milliseconds, '1' to return only the position in each status
                    """
                    + TIME_LUA
                    + """
                            local all = redis.call('HGETALL', KEYS[1])
                            local known = {string.format('%.0f', now)}
                            for i = 1, #all, 2 do
                              local at = tonumber(string.match(all[i + 1], '^%d+')) or 0
                              if now - at > tonumber(ARGV[1]) then
                                redis.call('HDEL', KEYS[1], all[i])
                              elseif ARGV[2] == '1' then
                                known[#known + 1] = all[i]
                                -- A quote within a JSON string has a backslash before it: this pattern matches the member, never a text.
                                known[#known + 1] = string.format('%.0f ', at) .. (string.match(all[i + 1], '"position":(%d+)') or '0')
                              else
                                known[#known + 1] = all[i]
                                known[#known + 1] = all[i + 1]
                              end
                            end
                            return known
                            """);

    private final RedisConnections connections;
    private final RedisCircuitBreaker circuitBreaker;
    private final String replicaId;
    private final String incarnation = randomToken();
    private final RedisKeys keys;
    private final List<String> recordKeys;
    private volatile long lastHistoryStep; // the step of this replica's last point

    /** @param replicaId the configured or generated id of this replica; two processes with one id detect each other */
    public ReplicaRegistry(RedisConnections connections, RedisCircuitBreaker circuitBreaker, String replicaId) {
        this.connections = connections;
        this.circuitBreaker = circuitBreaker;
        this.replicaId = replicaId;
        this.keys = connections.keys();
        this.recordKeys = List.of(keys.fleetStatuses(), keys.fleetHeartbeats(), keys.fleetProcesses());
    }

    private static String randomToken() {
        var token = new byte[8];
        new SecureRandom().nextBytes(token);
        return HexFormat.of().formatHex(token);
    }

    /** The incarnation of this process: 16 hex digits. */
    public String incarnation() {
        return incarnation;
    }

    /** Claims the replica id for this process, unless another live process has it. */
    public Mono<ClaimResult> claimReplicaId() {
        return circuitBreaker
                .guard(Mono.defer(() -> CLAIM_SCRIPT.<List<Object>>run(connections.controlCommands(),
                        ScriptOutputType.MULTI, recordKeys,
                        utf8Bytes(replicaId), utf8Bytes(incarnation), utf8Bytes("{}"),
                        utf8Bytes(LIVENESS_TIMEOUT.toMillis()))))
                .map(reply -> reply.isEmpty()
                        ? new ClaimResult.Granted()
                        : new ClaimResult.Taken(LuaScript.utf8Text(reply.get(0)),
                                Instant.ofEpochMilli(Long.parseLong(LuaScript.utf8Text(reply.get(1)))),
                                Duration.ofMillis(Long.parseLong(LuaScript.utf8Text(reply.get(2))))));
    }

    /**
     * Records that this replica is live. Transfers a few hundred bytes more than the status, whatever the size of the fleet.
     *
     * @param status JSON
     * @return the incarnation of another live process with the same replica id; empty when there is none
     */
    public Mono<Optional<String>> heartbeat(String status) {
        return heartbeat(status, "", 0);
    }

    /**
     * Records that this replica is live, as {@link #heartbeat(String)}, and a point of the history.
     *
     * @param point JSON, for the step of {@code now}
     */
    public Mono<Optional<String>> heartbeat(String status, String point, Instant now) {
        return heartbeat(status, point, historyStep(now)).doOnNext(done -> lastHistoryStep = historyStep(now));
    }

    /** Whether this replica has not yet recorded a point for the step of {@code now}. */
    public boolean isHistoryPointDue(Instant now) {
        return historyStep(now) != lastHistoryStep;
    }

    private Mono<Optional<String>> heartbeat(String status, String point, long step) {
        var scriptKeys = new ArrayList<>(recordKeys);
        scriptKeys.add(keys.fleetHistory(step));
        return circuitBreaker
                .guard(Mono.defer(
                        () -> HEARTBEAT_SCRIPT.<byte[]>run(connections.controlCommands(), ScriptOutputType.VALUE,
                                scriptKeys,
                                utf8Bytes(replicaId), utf8Bytes(incarnation), utf8Bytes(status),
                                utf8Bytes(LIVENESS_TIMEOUT.toMillis()),
                                utf8Bytes(RECORD_RETENTION.toMillis()), utf8Bytes(point),
                                utf8Bytes(HISTORY_STEP.multipliedBy(HISTORY_STEP_COUNT + 1).toMillis()))))
                .map(LuaScript::utf8Text)
                .map(other -> other.isEmpty() ? Optional.empty() : Optional.of(other));
    }

    /** All replicas with their statuses, sorted by id; about a kilobyte each. */
    public Mono<List<ReplicaRecord>> replicas() {
        return readReplicas("0").map(reply -> {
            var replicas = new ArrayList<ReplicaRecord>();
            for (StoredRecord entry : parseRecords(reply)) {
                replicas.add(new ReplicaRecord(entry.id, entry.lastHeartbeat, entry.isLive, entry.payload));
            }
            replicas.sort(Comparator.comparing(ReplicaRecord::id));
            return replicas;
        });
    }

    /** All replicas without their statuses, sorted by id; some tens of bytes each. */
    public Mono<List<ReplicaPurgePosition>> replicaPositions() {
        return readReplicas("1").map(reply -> {
            var positions = new ArrayList<ReplicaPurgePosition>();
            for (StoredRecord entry : parseRecords(reply)) {
                positions.add(new ReplicaPurgePosition(entry.id, entry.lastHeartbeat, entry.isLive,
                        Long.parseLong(entry.payload)));
            }
            positions.sort(Comparator.comparing(ReplicaPurgePosition::id));
            return positions;
        });
    }

    /**
     * The history of the five minutes up to {@code now}: a point every ten seconds, the oldest first, without the steps that no
     * replica has written.
     */
    public Mono<List<HistoryPoint>> history(Instant now) {
        long last = historyStep(now.minus(HISTORY_WRITE_DELAY));
        return Flux.range(0, HISTORY_STEP_COUNT)
                // One step at a time, so that other commands on the connection are not delayed.
                .concatMap(i -> readHistoryPoint(last - HISTORY_STEP_COUNT + 1 + i))
                .filter(point -> !point.replicas().isEmpty())
                .collectList();
    }

    private Mono<HistoryPoint> readHistoryPoint(long step) {
        Instant time = Instant.ofEpochMilli(step * HISTORY_STEP.toMillis());
        return circuitBreaker
                .guard(Mono.defer(() -> Flux.from(Mono.fromCompletionStage(
                        connections.controlCommands().hgetall(keys.fleetHistory(step))))
                        .next()))
                .map(points -> points.entrySet()
                        .stream()
                        .map(point -> KeyValue.just(point.getKey(), LuaScript.utf8Text(point.getValue())))
                        .map(point -> new ReplicaRecord(point.getKey(), time, true, point.getValue()))
                        .sorted(Comparator.comparing(ReplicaRecord::id))
                        .toList())
                .map(replicas -> new HistoryPoint(time, replicas));
    }

    /** Removes this process from the record, so that no purge waits for it. */
    public Mono<Void> deregister() {
        return circuitBreaker
                .guard(Mono.defer(() -> DEREGISTER_SCRIPT.<Long>run(connections.controlCommands(),
                        ScriptOutputType.INTEGER, recordKeys,
                        utf8Bytes(replicaId), utf8Bytes(incarnation), utf8Bytes(""),
                        utf8Bytes(LIVENESS_TIMEOUT.toMillis()))))
                .then();
    }

    private static long historyStep(Instant now) {
        return Math.floorDiv(now.toEpochMilli(), HISTORY_STEP.toMillis());
    }

    private Mono<List<Object>> readReplicas(String compact) {
        List<String> scriptKeys = List.of(keys.fleetStatuses());
        return circuitBreaker.guard(
                Mono.defer(() -> READ_REPLICAS_SCRIPT.run(connections.controlCommands(), ScriptOutputType.MULTI,
                        scriptKeys,
                        utf8Bytes(RECORD_RETENTION.toMillis()), utf8Bytes(compact))));
    }

    private record StoredRecord(String id, Instant lastHeartbeat, boolean isLive, String payload) {}

    private static List<StoredRecord> parseRecords(List<Object> reply) {
        Instant now = Instant.ofEpochMilli(Long.parseLong(LuaScript.utf8Text(reply.getFirst())));
        var entries = new ArrayList<StoredRecord>();
        for (int i = 1; i + 1 < reply.size(); i += 2) {
            String heartbeat = LuaScript.utf8Text(reply.get(i + 1));
            int blank = heartbeat.indexOf(' ');
            Instant lastHeartbeat = Instant.ofEpochMilli(Long.parseLong(heartbeat.substring(0, blank)));
            boolean live = Duration.between(lastHeartbeat, now).compareTo(LIVENESS_TIMEOUT) < 0;
            entries.add(new StoredRecord(LuaScript.utf8Text(reply.get(i)), lastHeartbeat, live,
                    heartbeat.substring(blank + 1)));
        }
        return entries;
    }
}
