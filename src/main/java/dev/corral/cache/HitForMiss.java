package dev.corral.cache;

/**
 * A hit-for-miss marker: the last response for this key was for one request only, so requests for the key are not coalesced.
 *
 * @param reason why the response was not shareable; a token such as {@code private}
 */
public record HitForMiss(String cacheKey, String reason, long purgePosition, String traceparent) implements Entry {

    /** The marker of a fetch without a trace. */
    public HitForMiss(String cacheKey, String reason, long purgePosition) {
        this(cacheKey, reason, purgePosition, "");
    }

    @Override
    public HitForMiss withTraceparent(String traceparent) {
        return new HitForMiss(cacheKey, reason, purgePosition, traceparent);
    }
}
