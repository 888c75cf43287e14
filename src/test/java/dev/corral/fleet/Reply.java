package dev.corral.fleet;

import dev.corral.http.Fields;
import java.time.Duration;

/**
 * What one client got.
 *
 * @param time from its asking to the end of the answer
 */
record Reply(int status, Fields fields, String body, Duration time) {

    /** What Corral says it did. */
    String cacheStatus() {
        return fields.joined("Cache-Status").orElse("");
    }

    boolean hit() {
        return cacheStatus().startsWith("Corral; hit");
    }
}
