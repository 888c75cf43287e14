package dev.corral.fleet;

import dev.corral.http.HeaderFields;
import java.time.Duration;

/**
 * The response to one client.
 *
 * @param elapsed from the request to the end of the response
 */
record FleetResponse(int status, HeaderFields fields, String body, Duration elapsed) {

    /** What Corral says it did. */
    String cacheStatus() {
        return fields.combinedValue("Cache-Status").orElse("");
    }

    boolean isHit() {
        return cacheStatus().startsWith("Corral; hit");
    }
}
