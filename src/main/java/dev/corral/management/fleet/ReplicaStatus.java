package dev.corral.management.fleet;

import java.time.Instant;
import java.util.List;
import java.util.Map;

/**
 * The status of one replica, which it writes to the fleet's registry once a second. Counts are since its start.
 *
 * @param version           the version of Corral
 * @param redis             {@code UP} or {@code DEGRADED}
 * @param position          the purge position up to which it knows all purges
 * @param lagMillis         the time since it last knew all purges of the fleet
 * @param clockOffsetMillis the fleet's clock minus its machine's clock
 * @param flights           the current number of flights
 * @param waiters           the current number of requests that wait for flights
 * @param requests          the number of requests by outcome
 * @param fetches           the number of requests to origins
 * @param waitMillis        the total time of all waits for other replicas
 * @param latency           the latencies since its last heartbeat: an HdrHistogram of microseconds, compressed, in base64
 * @param breakers          the breakers' states by route
 * @param top               the flights with the most waiters
 */
public record ReplicaStatus(String version, Instant started, String redis, long position, long lagMillis,
        long clockOffsetMillis, int flights, int waiters, Map<String, Long> requests, long fetches, long fills,
        long fenced, long takeovers, long waits, long waitMillis, String latency, Map<String, String> breakers,
        List<FlightStatus> top) {

    /**
     * A current flight.
     *
     * @param id   the id for {@code DELETE /actuator/flights/{id}}
     * @param key  the URL
     * @param role {@code leader}, {@code follower} or {@code looking}
     */
    public record FlightStatus(String id, String key, String role, int waiters, long ageMillis) {}
}
