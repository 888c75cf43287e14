package dev.corral.coalesce;

import java.io.Serial;

/** The shared tier is known to be unavailable: go on without it. */
public final class TierUnavailableException extends RuntimeException {

    @Serial
    private static final long serialVersionUID = 1;

    /** Without a cause of its own: it was known before. */
    public TierUnavailableException(String message) {
        super(message, null, false, false);
    }

    /** Carries the cause but no stack trace: it is an expected state and can come thousands of times a second. */
    public TierUnavailableException(String message, Throwable cause) {
        super(message, cause, false, false);
    }
}
