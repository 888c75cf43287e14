package dev.corral.redis;

/**
 * The Lua scripts of {@link RedisTier}: the steps that Redis runs atomically. Each script accesses the keys of one resource
 * only, and has no effect when it is sent a second time. Redis does not undo a script that fails half-way, so each script
 * checks first and notifies last. TTLs are milliseconds.
 */
final class RedisScripts {

    private RedisScripts() {}

    /** The time, in microseconds, of the server that has the key: in a Cluster each server has its own clock. */
    static final LuaScript SERVER_TIME = LuaScript.of("""
            -- KEYS: lock
            local time = redis.call('TIME')
            return time[1] * 1000000 + time[2]
            """);

    /**
     * Compares the entry with the version that the caller knows, and registers the replica for a notification. Returns {@code
     * C} (changed: another version is there; the caller reads it with a command, because a script copies its result while Redis
     * is blocked), {@code F failure} (failed), {@code N} (not locked) or {@code W milliseconds} (waiting: the remaining TTL of
     * the lock).
     */
    static final LuaScript FOLLOW = LuaScript
            .of("""
                    -- KEYS: entry, lock, waiters, failure | ARGV: known version or '', start of the wait, replica, TTL of the registration
                    local known, since, replica, registrationTtl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
                    local head = redis.call('GETRANGE', KEYS[1], 0, #known + 1)
                    if string.byte(head, 1) == 1 and head ~= '\\1' .. string.char(#known) .. known then
                      return {'C'}
                    end
                    local failure = redis.call('GET', KEYS[4])
                    if failure then
                      local colon = string.find(failure, ':', 1, true)
                      if tonumber(string.sub(failure, 1, colon - 1)) >= since then
                        return {'F', string.sub(failure, colon + 1)}
                      end
                    end
                    local remainingTtl = redis.call('PTTL', KEYS[2])
                    if remainingTtl == -2 then
                      return {'N'}
                    end
                    -- If Redis is out of memory, the registration fails: the replica gets no notification and polls.
                    redis.pcall('SADD', KEYS[3], replica)
                    redis.call('PEXPIRE', KEYS[3], registrationTtl)
                    return {'W', remainingTtl}
                    """);

    static final LuaScript RENEW = LuaScript.of("""
            -- KEYS: lock | ARGV: holder, TTL
            local holder, ttl = ARGV[1], ARGV[2]
            if redis.call('HEXISTS', KEYS[1], holder) == 0 then
              return 0
            end
            return redis.call('PEXPIRE', KEYS[1], ttl)
            """);

    /**
     * Notifies the waiting replicas. The last argument of each script that includes it is the start of the replicas' channel
     * names.
     */
    private static final String NOTIFY_LUA = """
            local function notify(waiters, message)
              local channelPrefix = ARGV[#ARGV]
              for _, replica in ipairs(redis.call('SMEMBERS', waiters)) do
                redis.pcall('PUBLISH', channelPrefix .. replica, message)
              end
              redis.call('DEL', waiters)
            end
            """;

    /**
     * Stores the entries and releases the lock. Returns 1 (stored), 0 (fenced: the lock has another holder, or the entry is not
     * the one of the leader's snapshot) or 2 (out of memory). Holding the lock is not enough: a lock attempt whose connection
     * was lost may arrive much later and take the lock for a flight that has ended.
     */
    static final LuaScript PUBLISH = LuaScript
            .of("""
                    -- KEYS: entry, lock, waiters, failure, then an entry for each write
                    -- ARGV: holder, expected version or '', then a TTL and the bytes of each write, channel prefix
                    """
                    + NOTIFY_LUA
                    + """
                            local holder, expected = ARGV[1], ARGV[2]
                            if redis.call('HEXISTS', KEYS[2], holder) == 0 then
                              -- The script was sent a second time: the entry is the one that it stored.
                              if KEYS[5] and redis.call('GETRANGE', KEYS[5], 0, #holder + 1) == string.sub(ARGV[4], 1, #holder + 2) then
                                return 1
                              end
                              return 0
                            end
                            local head = redis.call('GETRANGE', KEYS[1], 0, 256)
                            local length = string.byte(head, 1) == 1 and string.byte(head, 2) or 0
                            local current = string.sub(head, 3, length + 2)
                            -- A value that is no entry of this format counts as absent.
                            if length > 0 and #current == length and current ~= expected then
                              redis.call('DEL', KEYS[2])
                              notify(KEYS[3], 'L' .. KEYS[1])
                              return 0
                            end
                            for i = 5, #KEYS do
                              local ttl, bytes = ARGV[i * 2 - 7], ARGV[i * 2 - 6]
                              local reply = redis.pcall('SET', KEYS[i], bytes, 'PX', ttl)
                              if reply.err then
                                for j = 5, i - 1 do
                                  redis.call('DEL', KEYS[j])
                                end
                                if not string.find(reply.err, 'OOM', 1, true) then
                                  return reply
                                end
                                redis.call('DEL', KEYS[2])
                                notify(KEYS[3], 'D' .. KEYS[1])
                                return 2
                              end
                            end
                            redis.call('DEL', KEYS[2], KEYS[4])
                            notify(KEYS[3], 'L' .. KEYS[1])
                            return 1
                            """);

    static final LuaScript RELEASE = LuaScript.of("""
            -- KEYS: entry, lock, waiters | ARGV: holder, notification code, channel prefix
            """ + NOTIFY_LUA + """
            local holder, code = ARGV[1], ARGV[2]
            if redis.call('HEXISTS', KEYS[2], holder) == 0 then
              return 0
            end
            redis.call('DEL', KEYS[2])
            notify(KEYS[3], code .. KEYS[1])
            return 1
            """);

    static final LuaScript PUBLISH_FAILURE = LuaScript.of("""
            -- KEYS: entry, lock, waiters, failure | ARGV: holder, failure, TTL of the failure, channel prefix
            """ + NOTIFY_LUA + """
            local holder, failure, ttl = ARGV[1], ARGV[2], ARGV[3]
            if redis.call('HEXISTS', KEYS[2], holder) == 0 then
              return 0
            end
            local time = redis.call('TIME')
            local now = string.format('%.0f', time[1] * 1000000 + time[2])
            -- If Redis is out of memory, the failure is lost: the followers read the key again and find it unlocked.
            redis.pcall('SET', KEYS[4], now .. ':' .. failure, 'PX', ttl)
            redis.call('DEL', KEYS[2])
            notify(KEYS[3], 'L' .. KEYS[1])
            return 1
            """);
}
