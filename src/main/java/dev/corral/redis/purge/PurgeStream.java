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
 * The format of the fleet's purge log in Redis, and the scripts that read and write it. The log is a stream whose ids are purge
 * positions; the last position is also stored in a key of its own, for leaders. A position is the time of Redis in
 * microseconds, or
 * one more than the previous position if that is later. So the positions of a log that was recreated after a loss are above all
 * positions that were lost.
 *
 * <p>A stream element has pairs of a code and a text. The code of a name says how it is purged ({@code h}: hard, {@code s}:
 * soft);
 * an unknown code counts as hard. Two codes are for people only and purge nothing: {@code d}, a description of what was purged,
 * and
 * {@code b}, the user that requested the purge.
 *
 * <p>The stream holds each name once. A hash, the index, has the last hard and the last soft position of each name. An element
 * is
 * deleted when every one of its names has been purged again at least as hard. The index only saves memory: if it is missing, or
 * an
 * older version of Corral has not maintained it, elements remain that could be deleted, and nothing else changes.
 *
 * <p>The first element is older than any entry can be, or is a purge of everything, or has more than {@link #MAX_ELEMENTS}
 * elements
 * after it. So everything before it counts as purged, and a new replica needs only the log. The first element is never deleted
 * as
 * superseded. If the log is missing, or its last element does not match the last position, state was lost: the next script that
 * runs
 * recreates the log, with a purge of everything as its first element.
 */
final class PurgeStream {

    /**
     * A purge in the log.
     *
     * @param position    the position of the purge; 0 when it has not been assigned yet
     * @param description what was purged, in words for people; may be empty
     * @param requestedBy the user that requested the purge; empty when there is none
     */
    record PurgeStreamEntry(long position, List<PurgedName> names, List<String> description, String requestedBy) {}

    /**
     * A message on the purge channel. It says that there is a purge, not what it purges: it only causes the receiver to read
     * the log.
     *
     * @param requesterId the replica that requests an acknowledgement; empty when none does
     */
    record PurgeAnnouncement(long position, String requesterId) {}

    /**
     * The position assigned to a purge, and the position before it. A replica that does not know the previous position has
     * missed a purge.
     */
    record AssignedPosition(long position, long previousPosition) {}

    /**
     * A page of the log.
     *
     * @param knownPosition      the position in the request: the page begins after it, or after {@code lastCommonPosition} if
     *              that is earlier
     * @param firstPosition      the position of the log's first element
     * @param lastCommonPosition the last position of the log that is not after {@code knownPosition}; 0 when the log begins
     *              after it
     * @param redisTime          the time of Redis when the page was read
     * @param hasMore            whether the log has more elements after this page
     */
    record PurgePage(long knownPosition, long firstPosition, long lastCommonPosition, Instant redisTime,
            List<PurgeStreamEntry> purges, boolean hasMore) {}

    private static final String HARD_CODE = "h";
    private static final String SOFT_CODE = "s";
    private static final String DESCRIPTION_CODE = "d";
    private static final String REQUESTER_CODE = "b";

    private static final Pattern POSITION_PATTERN = Pattern.compile("\\d{1,18}");
    private static final int PAGE_SIZE = 1_000;
    // About 80 MB of Redis memory, including the index. Beyond it, the oldest purges are replaced by a purge of everything
    // before them.
    static final int MAX_ELEMENTS = 500_000;

    private static final String REPAIR_LUA = """
            local time = redis.call('TIME')
            local now = time[1] * 1000000 + time[2]
            local known = tonumber(ARGV[1])
            local function position(id)
              return tonumber(string.match(id, '^%d+'))
            end
            local function append(at, fields)
              redis.call('XADD', KEYS[2], string.format('%.0f-0', at), unpack(fields))
              redis.call('SET', KEYS[1], string.format('%.0f', at))
            end
            local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
            last = last and position(last[1]) or 0
            local assigned = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
            -- The log is missing or does not end at the last position: state was lost.
            if assigned ~= last or assigned == 0 then
              last = math.max(now, known + 1, assigned + 1, last + 1)
              redis.call('DEL', KEYS[2], KEYS[3])
              append(last, {'h', '*'})
            end
            """;

    /**
     * Maintains the index. The field {@code <name>} has the value {@code <last hard> <last soft>}, with 0 for none. The field
     * of a line feed and a position has the number of names whose last purge is at that position; it is omitted for one name.
     * No name contains a line feed, and no purge has a name twice.
     */
    private static final String INDEX_LUA = """
            local first = nil
            local function id(at)
              return at .. '-0'
            end
            local function positions(name)
              local both = redis.call('HGET', KEYS[3], name)
              if both then
                return string.match(both, '^(%d+) (%d+)$')
              end
              return '0', '0'
            end
            -- The last purge of one name is no longer at this position: deletes the element when no other name is left.
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
            local function addToIndex(at, fields)
              local names = 0
              local seen = {}
              for i = 1, #fields, 2 do
                local code, name = fields[i], fields[i + 1]
                if code ~= 'd' and code ~= 'b' and not seen[name] then
                  seen[name] = true
                  names = names + 1
                  local hard, soft = positions(name)
                  supersede(soft)
                  if code == 's' then
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
            -- Removes an element from the index before it is trimmed from the log.
            local function removeFromIndex(element)
              local at = string.match(element[1], '^%d+')
              for i = 1, #element[2], 2 do
                local name = element[2][i + 1]
                local hard, soft = positions(name)
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
                    -- KEYS: position, log, index | ARGV: known position, retention in microseconds, maximum elements, channel, requester,
                    -- then a code and a text for each field
                    """
                    + REPAIR_LUA + INDEX_LUA
                    + """
                            local fields = {}
                            local purgesEverything = false
                            for i = 6, #ARGV do
                              fields[i - 5] = ARGV[i]
                              purgesEverything = purgesEverything or (i % 2 == 1 and ARGV[i] == '*' and ARGV[i - 1] == 'h')
                            end
                            local at = math.max(now, known + 1, last + 1)
                            local text = string.format('%.0f', at)
                            -- A Redis without memory refuses a script whose first write needs memory, and allows later writes: so a purge is
                            -- never refused.
                            redis.call('PERSIST', KEYS[1])
                            append(at, fields)
                            if purgesEverything then
                              redis.call('XTRIM', KEYS[2], 'MINID', id(text))
                              redis.call('DEL', KEYS[3])
                            else
                              addToIndex(text, fields)
                              -- Trims the oldest elements, a few at a time. One element that is old enough stays: it stands for all before it.
                              local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', #fields + 8)
                              local excess = redis.call('XLEN', KEYS[2]) - ARGV[3]
                              local keep = 1
                              while oldest[keep + 1] and (position(oldest[keep + 1][1]) <= at - ARGV[2] or keep <= excess) do
                                removeFromIndex(oldest[keep])
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
            -- KEYS: position, log, index | ARGV: known position, maximum elements of the page
            """ + REPAIR_LUA + """
            local first = position(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1])
            local common = redis.call('XREVRANGE', KEYS[2], ARGV[1], '-', 'COUNT', 1)[1]
            common = common and position(common[1]) or 0
            local from = string.format('(%.0f', common)
            return {first, common, tonumber(time[1]), tonumber(time[2]),
              redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2])}
            """);

    private PurgeStream() {}

    /**
     * Appends a purge at a position above {@code knownPosition}. The position of {@code purge} is ignored.
     *
     * @param keys        the names of the log's keys and channel
     * @param requesterId   as in {@link PurgeAnnouncement}
     * @param knownPosition the last position that this replica knows
     * @param retention     how long a purge is kept
     * @param maxElements   the maximum number of elements in the log
     */
    static Mono<AssignedPosition> append(RedisClusterAsyncCommands<String, byte[]> redis, RedisKeys keys,
            PurgeStreamEntry purge, String requesterId, long knownPosition, Duration retention, int maxElements) {
        var arguments = new ArrayList<byte[]>(
                List.of(utf8Bytes(knownPosition), utf8Bytes(TimeUnit.NANOSECONDS.toMicros(retention.toNanos())),
                        utf8Bytes(maxElements), utf8Bytes(keys.purgeChannel()), utf8Bytes(requesterId)));
        purge.names.forEach(name -> addField(arguments, name.isSoft() ? SOFT_CODE : HARD_CODE, name.name()));
        purge.description.forEach(line -> addField(arguments, DESCRIPTION_CODE, line));
        if (!purge.requestedBy.isEmpty()) {
            addField(arguments, REQUESTER_CODE, purge.requestedBy);
        }
        return APPEND_SCRIPT
                .<List<Object>>run(redis, ScriptOutputType.MULTI, keys.purgeScriptKeys(),
                        arguments.toArray(byte[][]::new))
                .map(reply -> new AssignedPosition((long) reply.get(0), (long) reply.get(1)));
    }

    private static void addField(List<byte[]> arguments, String code, String text) {
        arguments.add(utf8Bytes(code));
        arguments.add(utf8Bytes(text));
    }

    /** Reads the page of the log after {@code knownPosition}. */
    static Mono<PurgePage> readPage(RedisClusterAsyncCommands<String, byte[]> redis, RedisKeys keys,
            long knownPosition) {
        return READ_SCRIPT
                .<List<Object>>run(redis, ScriptOutputType.MULTI, keys.purgeScriptKeys(), utf8Bytes(knownPosition),
                        utf8Bytes(PAGE_SIZE))
                .map(reply -> parsePage(knownPosition, reply));
    }

    /**
     * Parses a message of the purge channel; empty when its format is unknown. A message of an older version of Corral also
     * contains the names.
     */
    static Optional<PurgeAnnouncement> parseAnnouncement(String message) {
        String[] lines = message.split("\n", 4);
        return lines.length >= 3 && POSITION_PATTERN.matcher(lines[0]).matches()
                ? Optional.of(new PurgeAnnouncement(Long.parseLong(lines[0]), lines[2]))
                : Optional.empty();
    }

    /** Collects the code and text pairs of one stream element. */
    private static final class PurgeEntryBuilder {

        private final List<PurgedName> names = new ArrayList<>();
        private final List<String> description = new ArrayList<>();
        private String requestedBy = "";

        void add(String code, String text) {
            switch (code) {
                case DESCRIPTION_CODE -> description.add(text);
                case REQUESTER_CODE -> requestedBy = text;
                default -> names.add(new PurgedName(text, code.equals(SOFT_CODE)));
            }
        }

        PurgeStreamEntry build(long position) {
            return new PurgeStreamEntry(position, names, description, requestedBy);
        }
    }

    private static PurgePage parsePage(long knownPosition, List<Object> reply) {
        var now = Instant.ofEpochSecond((long) reply.get(2), TimeUnit.MICROSECONDS.toNanos((long) reply.get(3)));
        List<PurgeStreamEntry> purges = ((List<?>) reply.get(4)).stream().map(PurgeStream::parseEntry).toList();
        return new PurgePage(knownPosition, (long) reply.get(0), (long) reply.get(1), now, purges,
                purges.size() == PAGE_SIZE);
    }

    private static PurgeStreamEntry parseEntry(Object element) {
        List<?> idAndFields = (List<?>) element;
        List<?> fields = (List<?>) idAndFields.getLast();
        var builder = new PurgeEntryBuilder();
        for (int i = 0; i + 1 < fields.size(); i += 2) {
            builder.add(LuaScript.utf8Text(fields.get(i)), LuaScript.utf8Text(fields.get(i + 1)));
        }
        String id = LuaScript.utf8Text(idAndFields.getFirst());
        return builder.build(Long.parseLong(id.substring(0, id.indexOf('-'))));
    }
}
