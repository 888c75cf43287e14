package dev.corral.tier;

import io.lettuce.core.ScriptOutputType;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import reactor.core.publisher.Mono;

import static dev.corral.tier.Script.bytes;

/**
 * Who is in the fleet: each replica says at every beat that it lives and how it is, and hears the same of all others. One hash in
 * Redis, one script, one round trip a beat. Thread-safe. Errors are {@link dev.corral.coalesce.TierUnavailable}.
 */
public final class RedisFleet {

    /** After so long without a beat a replica is no longer counted on: two may be late. */
    public static final Duration LIVES = Duration.ofSeconds(3);

    /** For how long one that is gone is still told of. */
    private static final Duration REMEMBERED = Duration.ofMinutes(1);

    /**
     * A replica.
     *
     * @param seen   its last beat, by Redis' clock
     * @param live   whether that was within {@link #LIVES}
     * @param status what it said of itself
     */
    public record Member(String id, Instant seen, boolean live, String status) {}

    private static final Script BEAT = Script
            .of("""
                    -- KEYS: fleet | ARGV: replica, its status or '' to say nothing, milliseconds to remember those who say no more
                    local time = redis.call('TIME')
                    local now = time[1] * 1000 + math.floor(time[2] / 1000)
                    if ARGV[2] ~= '' then
                      -- Without room for it this replica is not seen; it serves all the same.
                      redis.pcall('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
                    end
                    local all = redis.call('HGETALL', KEYS[1])
                    local known = {string.format('%.0f', now)}
                    for i = 1, #all, 2 do
                      local at = tonumber(string.match(all[i + 1], '^%d+')) or 0
                      if now - at > tonumber(ARGV[3]) then
                        redis.call('HDEL', KEYS[1], all[i])
                      else
                        known[#known + 1] = all[i]
                        known[#known + 1] = all[i + 1]
                      end
                    end
                    redis.call('PEXPIRE', KEYS[1], ARGV[3])
                    return known
                    """);

    private final RedisConnections connections;
    private final RedisGate gate;
    private final String replicaId;
    private final List<String> keys;

    /** @param replicaId unique for each process of the fleet */
    public RedisFleet(RedisConnections connections, RedisGate gate, String replicaId) {
        this.connections = connections;
        this.gate = gate;
        this.replicaId = replicaId;
        this.keys = List.of(connections.keys().fleet());
    }

    /** Says that this replica lives, and lists all, by id. */
    public Mono<List<Member>> beat(String status) {
        return run(status);
    }

    /** All replicas that are known, by id. */
    public Mono<List<Member>> members() {
        return run("");
    }

    /** Says goodbye: nobody need wait for this replica. */
    public Mono<Void> leave() {
        return gate
                .guard(Mono.defer(() -> Mono.fromCompletionStage(
                        connections.control().hdel(keys.getFirst(), replicaId))))
                .then();
    }

    private Mono<List<Member>> run(String status) {
        return gate
                .guard(Mono.defer(() -> BEAT.<List<Object>>run(connections.control(), ScriptOutputType.MULTI, keys,
                        bytes(replicaId), bytes(status), bytes(REMEMBERED.toMillis()))))
                .map(RedisFleet::members);
    }

    private static List<Member> members(List<Object> answer) {
        Instant now = Instant.ofEpochMilli(Long.parseLong(Script.text(answer.getFirst())));
        var members = new ArrayList<Member>();
        for (int i = 1; i + 1 < answer.size(); i += 2) {
            String beat = Script.text(answer.get(i + 1));
            int blank = beat.indexOf(' ');
            Instant seen = Instant.ofEpochMilli(Long.parseLong(beat.substring(0, blank)));
            boolean live = Duration.between(seen, now).compareTo(LIVES) < 0;
            members.add(new Member(Script.text(answer.get(i)), seen, live, beat.substring(blank + 1)));
        }
        members.sort(Comparator.comparing(Member::id));
        return members;
    }
}
