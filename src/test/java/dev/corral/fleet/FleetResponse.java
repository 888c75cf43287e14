package dev.corral.fleet;

import dev.corral.http.HeaderFields;
import java.time.Duration;

/**
 * What one client got.
 *
 * @param elapsed from its asking to the end of the answer
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
