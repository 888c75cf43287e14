package dev.corral.coalesce;

import java.io.Serial;

/** The shared tier is known to be unavailable; the caller continues without it. */
public final class TierUnavailableException extends RuntimeException {

    @Serial
    private static final long serialVersionUID = 1;

    /** Without a cause: the tier was already known to be unavailable. */
    public TierUnavailableException(String message) {
        super(message, null, false, false);
    }

    /** With a cause but no stack trace: the state is expected, and the exception can occur thousands of times per second. */
    public TierUnavailableException(String message, Throwable cause) {
        super(message, cause, false, false);
    }
}
