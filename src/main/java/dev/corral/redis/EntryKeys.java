package dev.corral.redis;

/**
 * The Redis keys that belong to one cache key; see {@link RedisKeys}. The braces in {@code entry} put all keys of a resource
 * into one slot of a cluster.
 *
 * @param entry the Redis key of the entry itself
 */
public record EntryKeys(String entry) {

    /** The lock, in Redisson's format: a hash whose only field is the holder. */
    String lock() {
        return entry + ":lock";
    }

    /** The set of replicas to notify. */
    String waiters() {
        return entry + ":wait";
    }

    /** The last failure of a fill. */
    String failure() {
        return entry + ":fail";
    }
}
