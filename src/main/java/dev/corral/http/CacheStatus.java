package dev.corral.http;

import java.time.Duration;

/**
 * What this cache did, as the field says it (RFC 9211). Immutable; each method gives the value with one more parameter.
 *
 * @param value the member of the list
 */
public record CacheStatus(String value) {

    /** Why a request went to the origin (section 2.2). */
    public enum ForwardReason {
        /** The cache was not to handle it. */
        BYPASS("bypass"),
        /** Its method is not handled. */
        METHOD("method"),
        /** Nothing was stored for its key. */
        URI_MISS("uri-miss"),
        /** Nothing was stored that its fields select. */
        VARY_MISS("vary-miss"),
        /** A miss, no matter which. */
        MISS("miss"),
        /** Its directives asked for it. */
        REQUEST("request"),
        /** What was stored is stale. */
        STALE("stale"),
        /** What was stored is a part. */
        PARTIAL("partial");

        private final String token;

        ForwardReason(String token) {
            this.token = token;
        }

        /** As written. */
        public String token() {
            return token;
        }
    }

    private static final CacheStatus HIT = new CacheStatus("Corral; hit");

    /** Served without going to the origin. */
    public static CacheStatus hit() {
        return HIT;
    }

    /** Gone to the origin, by itself or with others. */
    public static CacheStatus forwarded(ForwardReason why) {
        return new CacheStatus("Corral; fwd=" + why.token);
    }

    /** The origin's status, where it is not the answer's own (section 2.3). */
    public CacheStatus withForwardStatus(int status) {
        return new CacheStatus(value + "; fwd-status=" + status);
    }

    /** For how long the answer is still fresh, negative when it is stale (section 2.4). */
    public CacheStatus withTtl(Duration ttl) {
        return new CacheStatus(value + "; ttl=" + ttl.toSeconds());
    }

    /** The answer was stored (section 2.5). */
    public CacheStatus withStored() {
        return new CacheStatus(value + "; stored");
    }

    /** The request shared another's fetch (section 2.6). */
    public CacheStatus withCollapsed() {
        return new CacheStatus(value + "; collapsed");
    }

    /** A word for those who look for a fault (section 2.8). */
    public CacheStatus withDetail(String detail) {
        return new CacheStatus(value + "; detail="
                + (isStructuredToken(detail) ? detail : FieldSyntax.quote(replaceNonPrintable(detail))));
    }

    /** A token of RFC 9651: no quotes needed. */
    private static boolean isStructuredToken(String text) {
        return FieldSyntax.isToken(text) && Character.isLetter(text.charAt(0));
    }

    private static String replaceNonPrintable(String text) {
        return text.replaceAll("[^ -~]", "?");
    }

    /** The fields with this as the last, the client's nearest, member of the list (section 2). */
    public HeaderFields appendTo(HeaderFields fields) {
        return fields.plus("Cache-Status", value);
    }
}
