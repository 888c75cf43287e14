package dev.corral.tier;

import dev.corral.coalesce.Key;

/** What belongs to one key in Redis. The braces put all lanes of a resource into one slot of a cluster. */
record Names(String entry) {

    static Names of(Key key) {
        String resource = "corral:{" + key.resource() + "}";
        return new Names(key.lane().isEmpty() ? resource : resource + ":" + key.lane());
    }

    /** Redisson's lock: a hash whose one field is the holder. */
    String lock() {
        return entry + ":lock";
    }

    /** The set of replicas to ring. */
    String waiters() {
        return entry + ":wait";
    }

    /** The last failure. */
    String fail() {
        return entry + ":fail";
    }
}
