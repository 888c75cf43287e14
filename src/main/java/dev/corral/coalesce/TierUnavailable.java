package dev.corral.coalesce;

import java.io.Serial;

/** The shared tier did not answer in time, or is known to be away: go to the origin. */
public final class TierUnavailable extends RuntimeException {

    @Serial
    private static final long serialVersionUID = 1;

    /** Carries the cause but no stack trace: it is an expected state and can come thousands of times a second. */
    public TierUnavailable(String message, Throwable cause) {
        super(message, cause, false, false);
    }
}
