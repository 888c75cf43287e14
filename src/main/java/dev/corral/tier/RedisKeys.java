package dev.corral.tier;

import dev.corral.coalesce.Key;
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
    private static final Pattern PREFIX = Pattern.compile("[A-Za-z0-9._:-]{1,64}");
    // In database 0 such a prefix would yield the names of another fleet's database of that number.
    private static final Pattern ENDS_AS_DATABASE = Pattern.compile(".*:[0-9]+");

    private final String root;

    /**
     * @param prefix   as {@link #isPrefix} allows
     * @param database the number of the Redis database; 0 in a Redis Cluster
     */
    public RedisKeys(String prefix, int database) {
        if (!isPrefix(prefix) || database < 0) {
            throw new IllegalArgumentException("no names in Redis with prefix '" + prefix + "', database " + database);
        }
        this.root = database == 0 ? prefix + ":" : prefix + ":" + database + ":";
    }

    /** The names of a fleet with this prefix in the database of these details. */
    public static RedisKeys of(String prefix, RedisConnectionDetails details) {
        if (details.getSentinel() != null) {
            return new RedisKeys(prefix, details.getSentinel().getDatabase());
        }
        return new RedisKeys(prefix, details.getCluster() != null ? 0 : details.getStandalone().getDatabase());
    }

    /** Whether names may begin so: 1 to 64 letters, digits, '.', '_', '-' or ':', not ending in a colon and a number. */
    public static boolean isPrefix(String prefix) {
        return PREFIX.matcher(prefix).matches() && !ENDS_AS_DATABASE.matcher(prefix).matches();
    }

    /** The names that belong to one cache key. */
    Names names(Key key) {
        String resource = root + "{" + key.resource() + "}";
        return new Names(key.lane().isEmpty() ? resource : resource + ":" + key.lane());
    }

    /** The last purge position. In one slot with the log. */
    String purgePosition() {
        return root + "{purge}:seq";
    }

    /** The keys of the purge scripts: the last position, the log, and the index of its names. */
    List<String> purges() {
        return List.of(purgePosition(), root + "{purge}:log", root + "{purge}:names");
    }

    /** The channel on which each purge is announced. */
    String purgeChannel() {
        return root + "purges";
    }

    /** The channel on which a replica receives acknowledgements of its purges. */
    String acknowledgementChannel(String replicaId) {
        return root + "acks:" + replicaId;
    }

    /** The start of each replica's notification channel; the replica's id follows. */
    String inboxPrefix() {
        return root + "inbox:";
    }

    /** The channel on which a replica is notified of filled keys. */
    String inboxChannel(String replicaId) {
        return inboxPrefix() + replicaId;
    }

    /** The statuses of the fleet's replicas, by id. */
    String fleet() {
        return root + "{fleet}";
    }

    /** When each replica's status was written. */
    String fleetSeen() {
        return fleet() + ":seen";
    }

    /** Which process wrote each replica's status. */
    String fleetProcesses() {
        return fleet() + ":processes";
    }

    /** What the replicas wrote for one step of the history. */
    String fleetHistory(long step) {
        return fleet() + ":history:" + step;
    }

    /** What is read, written and compared to see whether Redis serves. */
    String probe() {
        return root + "{probe}";
    }

    /** Another one, for another slot of a Cluster. */
    String probe(int number) {
        return root + "{probe-" + number + "}";
    }

    /** The channel on which a process receives its own messages, to know that it receives any. */
    String echoChannel(String process) {
        return root + "echo:" + process;
    }
}
