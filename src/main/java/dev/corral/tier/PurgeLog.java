package dev.corral.tier;

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

import static dev.corral.tier.Script.bytes;

/**
 * The fleet's record of purges in Redis: a stream whose ids are positions, and the last position by itself for leaders. A
 * position is Redis' time in microseconds, or one more than the last if that is later, so that a record begun anew after a
 * loss is above whatever was lost.
 *
 * <p>Each name is written with a letter for how it is purged ({@code h}: hard, {@code s}: soft); a letter unknown here is as good
 * as hard. Two letters tell people of it and purge nothing: {@code d}, what was purged in words, and {@code b}, by whom.
 *
 * <p>The first element is older than any entry may be, or names everything: so everything before it is purged, and a replica
 * without a past needs nothing but the log. When the log is missing, or is not the one that belongs to the last position,
 * state was lost: whoever looks next begins it anew.
 */
final class PurgeLog {

    /** One name of a purge. */
    record Name(String text, boolean soft) {

        static List<Name> of(List<String> names, boolean soft) {
            return names.stream().map(name -> new Name(name, soft)).toList();
        }
    }

    /**
     * What was purged at one position.
     *
     * @param told for people: what, in words; and by whom, empty when nobody in particular
     */
    record Purge(long position, List<Name> names, List<String> told, String by) {}

    /**
     * A purge that was told of, without names when they were too many.
     *
     * @param previous the position before it
     * @param asker    the replica that wants to hear that it is known; empty when none does
     */
    record Told(Purge purge, long previous, String asker) {}

    /** A position given to a purge, and the one before it: who does not know that one has missed something. */
    record Given(long position, long previous) {}

    /**
     * A part of the log.
     *
     * @param mine   the position asked for: what follows comes after it, or after {@code anchor} if that is earlier
     * @param first  the log's first position
     * @param anchor the last position of the log not after the one asked for; 0 when the log begins after it
     * @param now    Redis' time
     * @param more   whether there is more to read
     */
    record Page(long mine, long first, long anchor, Instant now, List<Purge> purges, boolean more) {}

    private static final String HARD = "h";
    private static final String SOFT = "s";
    private static final String TOLD = "d";
    private static final String BY = "b";

    private static final Pattern POSITION = Pattern.compile("\\d{1,18}");
    private static final int PAGE = 1_000;
    // A larger message would be a body on a channel of hints; whoever gets it without names reads the log.
    private static final int MESSAGE = 4_096;

    private static final String WHOLE = """
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
              redis.call('DEL', KEYS[2])
              append(last, {'h', '*'})
            end
            """;

    private static final Script PURGE = Script
            .of("""
                    -- KEYS: seq, log | ARGV: mine, microseconds to keep, channel, longest message, asker, then letter and name of each
                    """
                    + WHOLE
                    + """
                            local fields = {}
                            for i = 6, #ARGV do
                              fields[i - 5] = ARGV[i]
                            end
                            local at = math.max(now, mine + 1, last + 1)
                            -- A full Redis refuses a script's first write, if that takes room, and no later one: a purge gets through.
                            redis.call('PERSIST', KEYS[1])
                            append(at, fields)
                            -- One element old enough is kept: it stands for all before it.
                            local old = redis.call('XREVRANGE', KEYS[2], string.format('%.0f', at - ARGV[2]), '-', 'COUNT', 1)[1]
                            if old then
                              redis.call('XTRIM', KEYS[2], 'MINID', old[1])
                            end
                            local message = string.format('%.0f\\n%.0f\\n', at, last) .. ARGV[5]
                            local named = message
                            for i = 1, #fields, 2 do
                              named = named .. '\\n' .. fields[i] .. fields[i + 1]
                              if #named > tonumber(ARGV[4]) then
                                named = message
                                break
                              end
                            end
                            redis.pcall('PUBLISH', ARGV[3], named)
                            return {at, last}
                            """);

    private static final Script READ = Script.of("""
            -- KEYS: seq, log | ARGV: the position to read after, elements
            """ + WHOLE + """
            local first = position(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1])
            local anchor = redis.call('XREVRANGE', KEYS[2], ARGV[1], '-', 'COUNT', 1)[1]
            anchor = anchor and position(anchor[1]) or 0
            local from = string.format('(%.0f', anchor)
            return {first, anchor, tonumber(time[1]), tonumber(time[2]),
              redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2])}
            """);

    private PurgeLog() {}

    /**
     * Writes a purge above {@code mine}; its own position is not looked at.
     *
     * @param keys  the names of the log and of its channel
     * @param asker as in {@link Told}
     */
    static Mono<Given> write(RedisClusterAsyncCommands<String, byte[]> redis, RedisKeys keys, Purge purge, String asker,
            long mine, Duration keep) {
        var arguments = new ArrayList<byte[]>(List.of(bytes(mine), bytes(TimeUnit.NANOSECONDS.toMicros(keep.toNanos())),
                bytes(keys.purgeChannel()), bytes(MESSAGE), bytes(asker)));
        purge.names.forEach(name -> add(arguments, name.soft ? SOFT : HARD, name.text));
        purge.told.forEach(told -> add(arguments, TOLD, told));
        if (!purge.by.isEmpty()) {
            add(arguments, BY, purge.by);
        }
        return PURGE.<List<Object>>run(redis, ScriptOutputType.MULTI, keys.purges(), arguments.toArray(byte[][]::new))
                .map(answer -> new Given((long) answer.get(0), (long) answer.get(1)));
    }

    private static void add(List<byte[]> arguments, String letter, String text) {
        arguments.add(bytes(letter));
        arguments.add(bytes(text));
    }

    /** Reads what comes after {@code mine}. */
    static Mono<Page> read(RedisClusterAsyncCommands<String, byte[]> redis, RedisKeys keys, long mine) {
        return READ.<List<Object>>run(redis, ScriptOutputType.MULTI, keys.purges(), bytes(mine), bytes(PAGE))
                .map(answer -> page(mine, answer));
    }

    /** What a message says; empty when nobody here can tell. */
    static Optional<Told> told(String message) {
        String[] lines = message.split("\n", -1);
        if (lines.length < 3 || !POSITION.matcher(lines[0]).matches() || !POSITION.matcher(lines[1]).matches()) {
            return Optional.empty();
        }
        var reading = new Reading();
        for (String line : List.of(lines).subList(3, lines.length)) {
            if (!line.isEmpty()) {
                reading.take(line.substring(0, 1), line.substring(1));
            }
        }
        return Optional.of(new Told(reading.purge(Long.parseLong(lines[0])), Long.parseLong(lines[1]), lines[2]));
    }

    /** Letters and what follows them. */
    private static final class Reading {

        private final List<Name> names = new ArrayList<>();
        private final List<String> told = new ArrayList<>();
        private String by = "";

        void take(String letter, String text) {
            switch (letter) {
                case TOLD -> told.add(text);
                case BY -> by = text;
                default -> names.add(new Name(text, letter.equals(SOFT)));
            }
        }

        Purge purge(long position) {
            return new Purge(position, names, told, by);
        }
    }

    private static Page page(long mine, List<Object> answer) {
        var now = Instant.ofEpochSecond((long) answer.get(2), TimeUnit.MICROSECONDS.toNanos((long) answer.get(3)));
        List<Purge> purges = ((List<?>) answer.get(4)).stream().map(PurgeLog::purge).toList();
        return new Page(mine, (long) answer.get(0), (long) answer.get(1), now, purges, purges.size() == PAGE);
    }

    private static Purge purge(Object element) {
        List<?> pair = (List<?>) element;
        List<?> fields = (List<?>) pair.getLast();
        var reading = new Reading();
        for (int i = 0; i + 1 < fields.size(); i += 2) {
            reading.take(Script.text(fields.get(i)), Script.text(fields.get(i + 1)));
        }
        String id = Script.text(pair.getFirst());
        return reading.purge(Long.parseLong(id.substring(0, id.indexOf('-'))));
    }
}
