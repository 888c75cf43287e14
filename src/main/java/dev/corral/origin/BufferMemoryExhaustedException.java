package dev.corral.origin;

/** The memory budget does not allow collecting the response body. Not a failure of the origin. */
public final class BufferMemoryExhaustedException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** @param originId the route's id, for the message */
    public BufferMemoryExhaustedException(String originId) {
        super("no memory to collect a response of origin " + originId, null, false, false);
    }
}
