package dev.corral.redis;

import dev.corral.coalesce.TierKey;
import java.util.List;
import java.util.regex.Pattern;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;

/**
 * The names of all keys and channels of one fleet in Redis. Each name starts with the fleet's prefix, followed by the number of
 * the database unless it is 0: {@code corral:}, {@code corral:1:}. Channels in Redis are not per database, so without the
 * number two fleets in two databases would receive each other's messages. Immutable.
 */
public final class RedisKeys {

    /** The prefix when none is set. */
    public static final String DEFAULT_PREFIX = "corral";

    // Braces would change the hash tag in a Redis Cluster, spaces would end an ACL pattern, and * ? [ ] \ are special
    // characters of one.
    private static final Pattern PREFIX_PATTERN = Pattern.compile("[A-Za-z0-9._:-]{1,64}");
    // In database 0 such a prefix would produce the names of a fleet that uses the database with that number.
    private static final Pattern DATABASE_SUFFIX_PATTERN = Pattern.compile(".*:[0-9]+");

    private final String keyPrefix;

    /**
     * @param prefix   as {@link #isValidPrefix} allows
     * @param database the number of the Redis database; 0 in a Redis Cluster
     */
    public RedisKeys(String prefix, int database) {
        if (!isValidPrefix(prefix) || database < 0) {
            throw new IllegalArgumentException("invalid Redis key prefix '" + prefix + "', database " + database);
        }
        this.keyPrefix = database == 0 ? prefix + ":" : prefix + ":" + database + ":";
    }

    /** The names of a fleet with this prefix in the database of these details. */
    public static RedisKeys of(String prefix, RedisConnectionDetails details) {
        if (details.getSentinel() != null) {
            return new RedisKeys(prefix, details.getSentinel().getDatabase());
        }
        return new RedisKeys(prefix, details.getCluster() != null ? 0 : details.getStandalone().getDatabase());
    }

    /** Whether a prefix is valid: 1 to 64 letters, digits, '.', '_', '-' or ':', not ending in a colon and a number. */
    public static boolean isValidPrefix(String prefix) {
        return PREFIX_PATTERN.matcher(prefix).matches() && !DATABASE_SUFFIX_PATTERN.matcher(prefix).matches();
    }

    /** The Redis keys that belong to one cache key. */
    public EntryKeys entryKeys(TierKey key) {
        String resource = keyPrefix + "{" + key.resource() + "}";
        return new EntryKeys(key.subkey().isEmpty() ? resource : resource + ":" + key.subkey());
    }

    /** The last purge position; in one slot with the log. */
    public String purgePosition() {
        return keyPrefix + "{purge}:seq";
    }

    /** The KEYS of the purge scripts: the last position, the log, and the index of its names. */
    public List<String> purgeScriptKeys() {
        return List.of(purgePosition(), keyPrefix + "{purge}:log", keyPrefix + "{purge}:names");
    }

    /** The channel on which each purge is announced. */
    public String purgeChannel() {
        return keyPrefix + "purges";
    }

    /** The channel on which a replica receives acknowledgements of its purges. */
    public String acknowledgementChannel(String replicaId) {
        return keyPrefix + "acks:" + replicaId;
    }

    /** The start of the name of each replica's notification channel; the replica's id follows. */
    String notificationChannelPrefix() {
        return keyPrefix + "inbox:";
    }

    /** The channel on which a replica receives notifications about keys. */
    String notificationChannel(String replicaId) {
        return notificationChannelPrefix() + replicaId;
    }

    /** The statuses of the fleet's replicas, by id. */
    public String fleetStatuses() {
        return keyPrefix + "{fleet}";
    }

    /** The times at which the replicas wrote their statuses. */
    public String fleetHeartbeats() {
        return fleetStatuses() + ":seen";
    }

    /** The processes that wrote the replicas' statuses. */
    public String fleetProcesses() {
        return fleetStatuses() + ":processes";
    }

    /** The points of the history for one step, by replica. */
    public String fleetHistory(long step) {
        return fleetStatuses() + ":history:" + step;
    }

    /** The key that the health probe and the connection checks read and write. */
    String probeKey() {
        return keyPrefix + "{probe}";
    }

    /** A probe key with a number, to reach another slot of a Cluster. */
    String probeKey(int number) {
        return keyPrefix + "{probe-" + number + "}";
    }

    /** The channel on which a process receives its own echo messages, which prove that its subscription works. */
    String echoChannel(String process) {
        return keyPrefix + "echo:" + process;
    }
}
