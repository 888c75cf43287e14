package dev.corral.redis;

/** What belongs to one key in Redis, see {@link RedisKeys}. The braces put all lanes of a resource into one slot of a cluster. */
record EntryKeys(String entry) {

    /** Redisson's lock: a hash whose one field is the holder. */
    String lock() {
        return entry + ":lock";
    }

    /** The set of replicas to ring. */
    String waiters() {
        return entry + ":wait";
    }

    /** The last failure. */
    String failure() {
        return entry + ":fail";
    }
}
