package dev.corral.origin;

/** The origin's limit of concurrent requests is reached. Nothing was sent. */
public final class OriginConcurrencyExceededException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** @param originId the route's id, for the message */
    public OriginConcurrencyExceededException(String originId) {
        super("origin " + originId + " has reached its limit of concurrent requests", null, false, false);
    }
}
