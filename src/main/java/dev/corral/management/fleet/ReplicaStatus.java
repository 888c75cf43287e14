package dev.corral.management.fleet;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * How one replica is, as it tells the fleet once a second. Counts are since its start.
 *
 * @param version           of Corral
 * @param redis             {@code UP} or {@code DEGRADED}
 * @param position          the purge position up to which nothing is missing in its mirror
 * @param lagMillis         how long ago it was last in step with the fleet's purges
 * @param clockOffsetMillis what the fleet's clock adds to its machine's
 * @param flights           in the air
 * @param waiters           requests that wait for them
 * @param requests          by outcome
 * @param fetches           requests to origins
 * @param waitMillis        all waits for other replicas together
 * @param latency           of the requests since its last beat: an HdrHistogram of microseconds, compressed, in base64
 * @param breakers          state by route
 * @param top               the flights with the most waiters
 */
public record ReplicaStatus(String version, Instant started, String redis, long position, long lagMillis,
        long clockOffsetMillis, int flights, int waiters, Map<String, Long> requests, long fetches, long fills,
        long fenced, long takeovers, long waits, long waitMillis, String latency, Map<String, String> breakers,
        List<FlightStatus> top) {

    /**
     * A flight in the air.
     *
     * @param id   for {@code DELETE /actuator/flights/{id}}
     * @param key  its URL
     * @param role {@code leader}, {@code follower} or {@code looking}
     */
    public record FlightStatus(String id, String key, String role, int waiters, long ageMillis) {}
}
