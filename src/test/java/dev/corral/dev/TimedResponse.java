package dev.corral.dev;

import java.time.Duration;
import java.util.Locale;
import java.util.Optional;

/** One client's complete answer: status, the head's text, the body (a character a byte), and how long after the signal it was complete. */
record TimedResponse(int status, String head, String body, Duration elapsed) {

    /** For a client whose connection broke or whose answer did not come in time. */
    static final int NO_RESPONSE = 0;

    /** The first field line of that name. */
    Optional<String> field(String name) {
        String prefix = name.toLowerCase(Locale.ROOT) + ":";
        return head.lines()
                .filter(line -> line.toLowerCase(Locale.ROOT).startsWith(prefix))
                .map(line -> line.substring(prefix.length()).strip())
                .findFirst();
    }
}
