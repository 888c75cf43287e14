package dev.corral.origin;

/** As many exchanges as allowed are under way with this origin. Nothing was sent. */
public final class OriginConcurrencyExceededException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** For the origin of that id. */
    public OriginConcurrencyExceededException(String origin) {
        super("origin " + origin + " has as many requests under way as it may", null, false, false);
    }
}
