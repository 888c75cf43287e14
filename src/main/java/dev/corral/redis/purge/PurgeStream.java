package dev.corral.redis.purge;

import dev.corral.purge.PurgedName;
import dev.corral.redis.LuaScript;
import dev.corral.redis.RedisKeys;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.cluster.api.async.RedisClusterAsyncCommands;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import reactor.core.publisher.Mono;

import static dev.corral.redis.LuaScript.utf8Bytes;

/**
 * The fleet's record of purges in Redis: a stream whose ids are positions, and the last position by itself for leaders. A
 * position is Redis' time in microseconds, or one more than the last if that is later, so that a record begun anew after a
 * loss is above whatever was lost.
 *
 * <p>Each name is written with a letter for how it is purged ({@code h}: hard, {@code s}: soft); a letter unknown here is as good
 * as hard. Two letters tell people of it and purge nothing: {@code d}, what was purged in words, and {@code b}, by whom.
 *
 * <p>The stream has each name once: a hash has the last hard and the last soft position of each name, and an element is deleted
 * when every name in it has been purged again at least as hard. The hash is an index only. Without it, or with one that an older
 * version of Corral has not kept, elements stay that could be deleted, and nothing else changes.
 *
 * <p>The first element is older than any entry may be, or names everything, or has more than {@link #MAX_ELEMENTS} after it: so
 * everything before it is purged, and a replica without a past needs nothing but the log. It is never deleted as superseded. When
 * the log is missing, or is not the one that belongs to the last position, state was lost: whoever looks next begins it anew.
 */
final class PurgeStream {

    /**
     * What was purged at one position.
     *
     * @param description for people: what, in words; and by whom, empty when nobody in particular
     */
    record PurgeStreamEntry(long position, List<PurgedName> names, List<String> description, String requestedBy) {}

    /**
     * What a message says: that there is a purge, and not what it purges. It is only a reason to read the log.
     *
     * @param requesterId the replica that wants to hear when it is known; empty when none does
     */
    record PurgeAnnouncement(long position, String requesterId) {}

    /** A position given to a purge, and the one before it: who does not know that one has missed something. */
    record AssignedPosition(long position, long previousPosition) {}

    /**
     * A part of the log.
     *
     * @param knownPosition      the position asked for: what follows comes after it, or after {@code anchor} if that is earlier
     * @param firstPosition      the log's first position
     * @param lastCommonPosition the last position of the log not after the one asked for; 0 when the log begins after it
     * @param redisTime          Redis' time
     * @param hasMore            whether there is more to read
     */
    record PurgePage(long knownPosition, long firstPosition, long lastCommonPosition, Instant redisTime,
            List<PurgeStreamEntry> purges, boolean hasMore) {}

    private static final String HARD_CODE = "h";
    private static final String SOFT_CODE = "s";
    private static final String DESCRIPTION_CODE = "d";
    private static final String REQUESTER_CODE = "b";

    private static final Pattern POSITION_PATTERN = Pattern.compile("\\d{1,18}");
    private static final int PAGE_SIZE = 1_000;
    // Some 80 MB of Redis' memory with its index. Beyond, the oldest purges become a purge of everything before them.
    static final int MAX_ELEMENTS = 500_000;

    private static final String REPAIR_LUA = """
            local time = redis.call('TIME')
            local now = time[1] * 1000000 + time[2]
            local mine = tonumber(ARGV[1])
            local function position(id)
              return tonumber(string.match(id, '^%d+'))
            end
            local function append(at, fields)
              redis.call('XADD', KEYS[2], string.format('%.0f-0', at), unpack(fields))
              redis.call('SET', KEYS[1], string.format('%.0f', at))
            end
            local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
            last = last and position(last[1]) or 0
            local seq = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
            if seq ~= last or seq == 0 then
              last = math.max(now, mine + 1, seq + 1, last + 1)
              redis.call('DEL', KEYS[2], KEYS[3])
              append(last, {'h', '*'})
            end
            """;

    /**
     * In the hash, {@code <name>} is {@code <last hard> <last soft>}, 0 for none; a line feed and a position, the number of names
     * whose last purge is at that position, left out for one. No name has a line feed in it, and no purge has a name twice.
     */
    private static final String INDEX_LUA = """
            local first = nil
            local function id(at)
              return at .. '-0'
            end
            local function marks(name)
              local both = redis.call('HGET', KEYS[3], name)
              if both then
                return string.match(both, '^(%d+) (%d+)$')
              end
              return '0', '0'
            end
            -- One name less is last purged at this position.
            local function supersede(at)
              if at == '0' then
                return
              end
              local count = '\\n' .. at
              if redis.call('HEXISTS', KEYS[3], count) == 1 and redis.call('HINCRBY', KEYS[3], count, -1) > 0 then
                return
              end
              redis.call('HDEL', KEYS[3], count)
              first = first or redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1]
              if first ~= id(at) then
                redis.call('XDEL', KEYS[2], id(at))
              end
            end
            local function note(at, fields)
              local names = 0
              local seen = {}
              for i = 1, #fields, 2 do
                local letter, name = fields[i], fields[i + 1]
                if letter ~= 'd' and letter ~= 'b' and not seen[name] then
                  seen[name] = true
                  names = names + 1
                  local hard, soft = marks(name)
                  supersede(soft)
                  if letter == 's' then
                    redis.call('HSET', KEYS[3], name, hard .. ' ' .. at)
                  else
                    supersede(hard)
                    redis.call('HSET', KEYS[3], name, at .. ' 0')
                  end
                end
              end
              if names > 1 then
                redis.call('HSET', KEYS[3], '\\n' .. at, names)
              end
            end
            -- The element is about to go.
            local function forget(element)
              local at = string.match(element[1], '^%d+')
              for i = 1, #element[2], 2 do
                local name = element[2][i + 1]
                local hard, soft = marks(name)
                if hard == at or soft == at then
                  hard = hard == at and '0' or hard
                  soft = soft == at and '0' or soft
                  if hard == '0' and soft == '0' then
                    redis.call('HDEL', KEYS[3], name)
                  else
                    redis.call('HSET', KEYS[3], name, hard .. ' ' .. soft)
                  end
                end
              end
              redis.call('HDEL', KEYS[3], '\\n' .. at)
            end
            """;

    private static final LuaScript APPEND_SCRIPT = LuaScript
            .of("""
                    -- KEYS: seq, log, names | ARGV: mine, microseconds to keep, elements to keep, channel, requester, then letter and name of each
                    """
                    + REPAIR_LUA + INDEX_LUA
                    + """
                            local fields = {}
                            local all = false
                            for i = 6, #ARGV do
                              fields[i - 5] = ARGV[i]
                              all = all or (i % 2 == 1 and ARGV[i] == '*' and ARGV[i - 1] == 'h')
                            end
                            local at = math.max(now, mine + 1, last + 1)
                            local text = string.format('%.0f', at)
                            -- A full Redis refuses a script's first write, if that takes room, and no later one: a purge gets through.
                            redis.call('PERSIST', KEYS[1])
                            append(at, fields)
                            if all then
                              redis.call('XTRIM', KEYS[2], 'MINID', id(text))
                              redis.call('DEL', KEYS[3])
                            else
                              note(text, fields)
                              -- One element old enough is kept: it stands for all before it. The oldest first, and never many at once.
                              local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', #fields + 8)
                              local over = redis.call('XLEN', KEYS[2]) - ARGV[3]
                              local keep = 1
                              while oldest[keep + 1] and (position(oldest[keep + 1][1]) <= at - ARGV[2] or keep <= over) do
                                forget(oldest[keep])
                                keep = keep + 1
                              end
                              if keep > 1 then
                                redis.call('XTRIM', KEYS[2], 'MINID', oldest[keep][1])
                              end
                            end
                            redis.pcall('PUBLISH', ARGV[4], string.format('%.0f\\n%.0f\\n', at, last) .. ARGV[5])
                            return {at, last}
                            """);

    private static final LuaScript READ_SCRIPT = LuaScript.of("""
            -- KEYS: seq, log, names | ARGV: the position to read after, elements
            """ + REPAIR_LUA + """
            local first = position(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1])
            local anchor = redis.call('XREVRANGE', KEYS[2], ARGV[1], '-', 'COUNT', 1)[1]
            anchor = anchor and position(anchor[1]) or 0
            local from = string.format('(%.0f', anchor)
            return {first, anchor, tonumber(time[1]), tonumber(time[2]),
              redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2])}
            """);

    private PurgeStream() {}

    /**
     * Writes a purge above {@code mine}; its own position is not looked at.
     *
     * @param keys      the names of the log and of its channel
     * @param requester as in {@link PurgeAnnouncement}
     * @param keep      how long a purge matters
     * @param elements  the most the log has
     */
    static Mono<AssignedPosition> append(RedisClusterAsyncCommands<String, byte[]> redis, RedisKeys keys,
            PurgeStreamEntry purge,
            String requester, long mine, Duration keep, int elements) {
        var arguments = new ArrayList<byte[]>(
                List.of(utf8Bytes(mine), utf8Bytes(TimeUnit.NANOSECONDS.toMicros(keep.toNanos())),
                        utf8Bytes(elements), utf8Bytes(keys.purgeChannel()), utf8Bytes(requester)));
        purge.names.forEach(name -> addField(arguments, name.isSoft() ? SOFT_CODE : HARD_CODE, name.name()));
        purge.description.forEach(told -> addField(arguments, DESCRIPTION_CODE, told));
        if (!purge.requestedBy.isEmpty()) {
            addField(arguments, REQUESTER_CODE, purge.requestedBy);
        }
        return APPEND_SCRIPT
                .<List<Object>>run(redis, ScriptOutputType.MULTI, keys.purgeScriptKeys(),
                        arguments.toArray(byte[][]::new))
                .map(answer -> new AssignedPosition((long) answer.get(0), (long) answer.get(1)));
    }

    private static void addField(List<byte[]> arguments, String letter, String text) {
        arguments.add(utf8Bytes(letter));
        arguments.add(utf8Bytes(text));
    }

    /** Reads what comes after {@code mine}. */
    static Mono<PurgePage> readPage(RedisClusterAsyncCommands<String, byte[]> redis, RedisKeys keys, long mine) {
        return READ_SCRIPT
                .<List<Object>>run(redis, ScriptOutputType.MULTI, keys.purgeScriptKeys(), utf8Bytes(mine),
                        utf8Bytes(PAGE_SIZE))
                .map(answer -> parsePage(mine, answer));
    }

    /** What a message says; empty when it is in a form that is unknown here. An older version's has the names as well. */
    static Optional<PurgeAnnouncement> parseAnnouncement(String message) {
        String[] lines = message.split("\n", 4);
        return lines.length >= 3 && POSITION_PATTERN.matcher(lines[0]).matches()
                ? Optional.of(new PurgeAnnouncement(Long.parseLong(lines[0]), lines[2]))
                : Optional.empty();
    }

    /** Letters and what follows them. */
    private static final class PurgeEntryBuilder {

        private final List<PurgedName> names = new ArrayList<>();
        private final List<String> description = new ArrayList<>();
        private String requestedBy = "";

        void add(String letter, String text) {
            switch (letter) {
                case DESCRIPTION_CODE -> description.add(text);
                case REQUESTER_CODE -> requestedBy = text;
                default -> names.add(new PurgedName(text, letter.equals(SOFT_CODE)));
            }
        }

        PurgeStreamEntry build(long position) {
            return new PurgeStreamEntry(position, names, description, requestedBy);
        }
    }

    private static PurgePage parsePage(long mine, List<Object> answer) {
        var now = Instant.ofEpochSecond((long) answer.get(2), TimeUnit.MICROSECONDS.toNanos((long) answer.get(3)));
        List<PurgeStreamEntry> purges = ((List<?>) answer.get(4)).stream().map(PurgeStream::parseEntry).toList();
        return new PurgePage(mine, (long) answer.get(0), (long) answer.get(1), now, purges, purges.size() == PAGE_SIZE);
    }

    private static PurgeStreamEntry parseEntry(Object element) {
        List<?> pair = (List<?>) element;
        List<?> fields = (List<?>) pair.getLast();
        var reading = new PurgeEntryBuilder();
        for (int i = 0; i + 1 < fields.size(); i += 2) {
            reading.add(LuaScript.utf8Text(fields.get(i)), LuaScript.utf8Text(fields.get(i + 1)));
        }
        String id = LuaScript.utf8Text(pair.getFirst());
        return reading.build(Long.parseLong(id.substring(0, id.indexOf('-'))));
    }
}
