package dev.corral.cache;

/**
 * Remembered: do not wait for this key, its last answer was for one request only.
 *
 * @param reason why, a token such as {@code private}
 */
public record HitForMiss(String cacheKey, String reason, long purgePosition, String traceparent) implements Entry {

    /** Not traced. */
    public HitForMiss(String key, String reason, long position) {
        this(key, reason, position, "");
    }

    @Override
    public HitForMiss withTraceparent(String fetch) {
        return new HitForMiss(cacheKey, reason, purgePosition, fetch);
    }
}
