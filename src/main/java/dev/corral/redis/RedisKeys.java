package dev.corral.redis;

import dev.corral.coalesce.TierKey;
import java.util.List;
import java.util.regex.Pattern;
import org.springframework.boot.autoconfigure.data.redis.RedisConnectionDetails;

/**
 * The names of all keys and channels of one fleet in Redis. Each begins with the fleet's prefix, followed by the number of the
 * database unless that is 0: {@code corral:}, {@code corral:1:}. Channels are not per database in Redis, so without the number
 * two fleets in two databases would receive each other's messages. Immutable.
 */
public final class RedisKeys {

    /** The prefix when none is set. */
    public static final String DEFAULT_PREFIX = "corral";

    // Braces would move the hash tag of a Redis Cluster, spaces would end an ACL pattern; * ? [ ] \ are patterns there.
    private static final Pattern PREFIX_PATTERN = Pattern.compile("[A-Za-z0-9._:-]{1,64}");
    // In database 0 such a prefix would yield the names of another fleet's database of that number.
    private static final Pattern DATABASE_SUFFIX_PATTERN = Pattern.compile(".*:[0-9]+");

    private final String keyPrefix;

    /**
     * @param prefix   as {@link #isValidPrefix} allows
     * @param database the number of the Redis database; 0 in a Redis Cluster
     */
    public RedisKeys(String prefix, int database) {
        if (!isValidPrefix(prefix) || database < 0) {
            throw new IllegalArgumentException("no names in Redis with prefix '" + prefix + "', database " + database);
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

    /** Whether names may begin so: 1 to 64 letters, digits, '.', '_', '-' or ':', not ending in a colon and a number. */
    public static boolean isValidPrefix(String prefix) {
        return PREFIX_PATTERN.matcher(prefix).matches() && !DATABASE_SUFFIX_PATTERN.matcher(prefix).matches();
    }

    /** The names that belong to one cache key. */
    EntryKeys entryKeys(TierKey key) {
        String resource = keyPrefix + "{" + key.resource() + "}";
        return new EntryKeys(key.subkey().isEmpty() ? resource : resource + ":" + key.subkey());
    }

    /** The last purge position. In one slot with the log. */
    public String purgePosition() {
        return keyPrefix + "{purge}:seq";
    }

    /** The keys of the purge scripts: the last position, the log, and the index of its names. */
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

    /** The start of each replica's notification channel; the replica's id follows. */
    String notificationChannelPrefix() {
        return keyPrefix + "inbox:";
    }

    /** The channel on which a replica is notified of filled keys. */
    String notificationChannel(String replicaId) {
        return notificationChannelPrefix() + replicaId;
    }

    /** The statuses of the fleet's replicas, by id. */
    public String fleetStatuses() {
        return keyPrefix + "{fleet}";
    }

    /** When each replica's status was written. */
    public String fleetHeartbeats() {
        return fleetStatuses() + ":seen";
    }

    /** Which process wrote each replica's status. */
    public String fleetProcesses() {
        return fleetStatuses() + ":processes";
    }

    /** What the replicas wrote for one step of the history. */
    public String fleetHistory(long step) {
        return fleetStatuses() + ":history:" + step;
    }

    /** What is read, written and compared to see whether Redis serves. */
    String probeKey() {
        return keyPrefix + "{probe}";
    }

    /** Another one, for another slot of a Cluster. */
    String probeKey(int number) {
        return keyPrefix + "{probe-" + number + "}";
    }

    /** The channel on which a process receives its own messages, to know that it receives any. */
    String echoChannel(String process) {
        return keyPrefix + "echo:" + process;
    }
}
