package dev.corral.http;

import java.time.Duration;

/**
 * This cache's member of the {@code Cache-Status} field (RFC 9211). Immutable: each {@code with} method returns a copy with one
 * more parameter.
 *
 * @param value the text of the list member
 */
public record CacheStatus(String value) {

    /** Why a request was forwarded to the origin (section 2.2). */
    public enum ForwardReason {
        /** The cache was configured not to handle the request. */
        BYPASS("bypass"),
        /** The method requires forwarding. */
        METHOD("method"),
        /** No response was stored for the cache key. */
        URI_MISS("uri-miss"),
        /** A response was stored, but for another variant. */
        VARY_MISS("vary-miss"),
        /** A miss of unspecified kind. */
        MISS("miss"),
        /** The request directives required it. */
        REQUEST("request"),
        /** The stored response is stale. */
        STALE("stale");

        private final String token;

        ForwardReason(String token) {
            this.token = token;
        }

        /** The value of the {@code fwd} parameter. */
        public String token() {
            return token;
        }
    }

    private static final CacheStatus HIT = new CacheStatus("Corral; hit");

    /** Served from the cache. */
    public static CacheStatus hit() {
        return HIT;
    }

    /** Forwarded to the origin, alone or coalesced with other requests. */
    public static CacheStatus forwarded(ForwardReason reason) {
        return new CacheStatus("Corral; fwd=" + reason.token);
    }

    /** The origin's status, where it differs from the status of the response (section 2.3). */
    public CacheStatus withForwardStatus(int status) {
        return new CacheStatus(value + "; fwd-status=" + status);
    }

    /** The remaining freshness lifetime, in whole seconds; negative if the response is stale (section 2.4). */
    public CacheStatus withTtl(Duration ttl) {
        return new CacheStatus(value + "; ttl=" + ttl.toSeconds());
    }

    /** The response was stored (section 2.5). */
    public CacheStatus withStored() {
        return new CacheStatus(value + "; stored");
    }

    /** The request shared the fetch of another request (section 2.6). */
    public CacheStatus withCollapsed() {
        return new CacheStatus(value + "; collapsed");
    }

    /** Diagnostic detail (section 2.8). */
    public CacheStatus withDetail(String detail) {
        return new CacheStatus(value + "; detail="
                + (isStructuredToken(detail) ? detail : FieldSyntax.quote(replaceNonPrintable(detail))));
    }

    /** Whether the text is a token of RFC 9651, which needs no quotes. */
    private static boolean isStructuredToken(String text) {
        return FieldSyntax.isToken(text) && Character.isLetter(text.charAt(0));
    }

    private static String replaceNonPrintable(String text) {
        return text.replaceAll("[^ -~]", "?");
    }

    /** The fields with this member appended. The last member belongs to the cache nearest to the client (section 2). */
    public HeaderFields appendTo(HeaderFields fields) {
        return fields.plus("Cache-Status", value);
    }
}
