package dev.corral.redis;

/**
 * What Redis does in one step each. Every script touches the keys of one resource only, and does nothing when it is sent a
 * second time. A script is not undone when it fails half-way, so each checks first and rings last.
 */
final class RedisScripts {

    private RedisScripts() {}

    /** The time of the server that has the key, in microseconds: in a cluster each has a clock of its own. */
    static final LuaScript SERVER_TIME = LuaScript.of("""
            -- KEYS: lock
            local time = redis.call('TIME')
            return time[1] * 1000000 + time[2]
            """);

    /**
     * {@code C} (another version is there: it is read by itself, for a script copies what it returns while Redis waits), {@code F
     * failure}, {@code N} (nobody leads) or {@code W milliseconds}.
     */
    static final LuaScript FOLLOW = LuaScript.of("""
            -- KEYS: entry, lock, waiters, fail | ARGV: version seen or '', since, replica, milliseconds to remember it
            local seen = ARGV[1]
            local head = redis.call('GETRANGE', KEYS[1], 0, #seen + 1)
            if string.byte(head, 1) == 1 and head ~= '\\1' .. string.char(#seen) .. seen then
              return {'C'}
            end
            local failure = redis.call('GET', KEYS[4])
            if failure then
              local mark = string.find(failure, ':', 1, true)
              if tonumber(string.sub(failure, 1, mark - 1)) >= tonumber(ARGV[2]) then
                return {'F', string.sub(failure, mark + 1)}
              end
            end
            local left = redis.call('PTTL', KEYS[2])
            if left == -2 then
              return {'N'}
            end
            -- Without room for the registration this replica is not rung; it polls.
            redis.pcall('SADD', KEYS[3], ARGV[3])
            redis.call('PEXPIRE', KEYS[3], ARGV[4])
            return {'W', left}
            """);

    static final LuaScript RENEW = LuaScript.of("""
            -- KEYS: lock | ARGV: holder, milliseconds
            if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
              return 0
            end
            return redis.call('PEXPIRE', KEYS[1], ARGV[2])
            """);

    /** The last argument of each script that notifies is what the name of a replica's channel begins with. */
    private static final String NOTIFY_LUA = """
            local function ring(waiters, message)
              for _, replica in ipairs(redis.call('SMEMBERS', waiters)) do
                redis.pcall('PUBLISH', ARGV[#ARGV] .. replica, message)
              end
              redis.call('DEL', waiters)
            end
            """;

    /**
     * 1: stored, 0: the lock is another's, or another entry is there than the leader stood on, 2: no room. That the lock is held is not
     * enough: an attempt whose connection was lost may arrive long after, and take the lock for a flight that has ended.
     */
    static final LuaScript PUBLISH = LuaScript
            .of("""
                    -- KEYS: entry, lock, waiters, fail, then an entry for each write | ARGV: holder, version stood on or '', then milliseconds and bytes of each, channels
                    """
                    + NOTIFY_LUA
                    + """
                            local holder, stood = ARGV[1], ARGV[2]
                            if redis.call('HEXISTS', KEYS[2], holder) == 0 then
                              -- Sent a second time: what it stored is its own.
                              if KEYS[5] and redis.call('GETRANGE', KEYS[5], 0, #holder + 1) == string.sub(ARGV[4], 1, #holder + 2) then
                                return 1
                              end
                              return 0
                            end
                            local head = redis.call('GETRANGE', KEYS[1], 0, 256)
                            local length = string.byte(head, 1) == 1 and string.byte(head, 2) or 0
                            local there = string.sub(head, 3, length + 2)
                            -- What is no entry of this format is absent.
                            if length > 0 and #there == length and there ~= stood then
                              redis.call('DEL', KEYS[2])
                              ring(KEYS[3], 'L' .. KEYS[1])
                              return 0
                            end
                            for i = 5, #KEYS do
                              local done = redis.pcall('SET', KEYS[i], ARGV[i * 2 - 6], 'PX', ARGV[i * 2 - 7])
                              if done.err then
                                for j = 5, i - 1 do
                                  redis.call('DEL', KEYS[j])
                                end
                                if not string.find(done.err, 'OOM', 1, true) then
                                  return done
                                end
                                redis.call('DEL', KEYS[2])
                                ring(KEYS[3], 'D' .. KEYS[1])
                                return 2
                              end
                            end
                            redis.call('DEL', KEYS[2], KEYS[4])
                            ring(KEYS[3], 'L' .. KEYS[1])
                            return 1
                            """);

    static final LuaScript RELEASE = LuaScript.of("""
            -- KEYS: entry, lock, waiters | ARGV: holder, letter of the ring, channels
            """ + NOTIFY_LUA + """
            if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
              return 0
            end
            redis.call('DEL', KEYS[2])
            ring(KEYS[3], ARGV[2] .. KEYS[1])
            return 1
            """);

    static final LuaScript PUBLISH_FAILURE = LuaScript.of("""
            -- KEYS: entry, lock, waiters, fail | ARGV: holder, failure, milliseconds to remember it, channels
            """ + NOTIFY_LUA + """
            if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
              return 0
            end
            local time = redis.call('TIME')
            local now = string.format('%.0f', time[1] * 1000000 + time[2])
            -- Without room the failure is lost: those who wait look again and find nobody leading.
            redis.pcall('SET', KEYS[4], now .. ':' .. ARGV[2], 'PX', ARGV[3])
            redis.call('DEL', KEYS[2])
            ring(KEYS[3], 'L' .. KEYS[1])
            return 1
            """);
}
