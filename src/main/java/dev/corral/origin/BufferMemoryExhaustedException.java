package dev.corral.origin;

/** There is no memory to collect the response's body in. The origin is not to blame. */
public final class BufferMemoryExhaustedException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** For the origin of that id. */
    public BufferMemoryExhaustedException(String origin) {
        super("no memory to collect a response of origin " + origin, null, false, false);
    }
}
