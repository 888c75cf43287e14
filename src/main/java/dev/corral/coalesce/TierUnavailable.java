package dev.corral.coalesce;

import java.io.Serial;

/** The shared tier is known to be unavailable: go on without it. */
public final class TierUnavailable extends RuntimeException {

    @Serial
    private static final long serialVersionUID = 1;

    /** Without a cause of its own: it was known before. */
    public TierUnavailable(String message) {
        super(message, null, false, false);
    }

    /** Carries the cause but no stack trace: it is an expected state and can come thousands of times a second. */
    public TierUnavailable(String message, Throwable cause) {
        super(message, cause, false, false);
    }
}
