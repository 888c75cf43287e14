package dev.corral.http;

/**
 * Remembered: do not wait for this key, its last answer was for one request only.
 *
 * @param reason why, a token such as {@code private}
 */
public record HitForMiss(String key, String reason, long position) implements Entry {}
