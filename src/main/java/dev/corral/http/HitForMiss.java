package dev.corral.http;

/**
 * Remembered: do not wait for this key, its last answer was for one request only.
 *
 * @param reason why, a token such as {@code private}
 */
public record HitForMiss(String key, String reason, long position, String trace) implements Entry {

    /** Not traced. */
    public HitForMiss(String key, String reason, long position) {
        this(key, reason, position, "");
    }

    @Override
    public HitForMiss traced(String fetch) {
        return new HitForMiss(key, reason, position, fetch);
    }
}
