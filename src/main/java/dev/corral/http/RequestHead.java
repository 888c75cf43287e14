package dev.corral.http;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * The head of a client request, parsed once on arrival. Immutable.
 *
 * @param method as received; methods are case-sensitive
 * @param fields the fields as received, without those that {@code Connection} names: they do not reach the origin, so they must
 *        not select a variant either
 * @param noCache the client requires validation: {@code no-cache}, or {@code Pragma: no-cache} without {@code Cache-Control}
 *        (RFC 9111 section 5.4)
 * @param hasAuthorization the request has {@code Authorization}
 * @param hasCookieOrCredential the request has {@code Cookie} or another field that identifies a user, such as {@code X-Api-Key}
 *        ({@link CredentialFields}); {@code Authorization} does not count
 * @param hasRange the request has {@code Range}
 * @param isConditional the request has {@code If-None-Match} or {@code If-Modified-Since}, which a cache evaluates itself
 * @param hasPrecondition the request has {@code If-Match} or {@code If-Unmodified-Since}, which only the origin can evaluate
 * @param hasBody the request announces a body
 */
public record RequestHead(String method, HeaderFields fields, CacheControl cacheControl, boolean noCache,
        boolean hasAuthorization,
        boolean hasCookieOrCredential, boolean hasRange, boolean isConditional, boolean hasPrecondition,
        boolean hasBody) {

    /** Parses a request. Never throws. */
    public static RequestHead parse(String method, HeaderFields received) {
        boolean hasCacheControl = false;
        boolean pragmaNoCache = false;
        boolean hasAuthorization = false;
        boolean hasCookieOrCredential = false;
        boolean hasRange = false;
        boolean isConditional = false;
        boolean hasPrecondition = false;
        boolean hasBody = false;
        Set<String> connectionOptions = Forwarding.connectionOptions(received);
        HeaderFields fields = connectionOptions.isEmpty()
                ? received
                : received.without(name -> connectionOptions.contains(RequestHeaderPolicy.canonicalName(name)));
        for (HeaderFields.FieldLine field : fields) {
            switch (field.name().toLowerCase(Locale.ROOT)) {
                case "cache-control" -> hasCacheControl = true;
                case "pragma" -> pragmaNoCache |= CacheControl.parse(List.of(field.value())).noCache();
                case "authorization" -> hasAuthorization = true;
                case "range" -> hasRange = true;
                case "if-none-match", "if-modified-since" -> isConditional = true;
                case "if-match", "if-unmodified-since" -> hasPrecondition = true;
                case "content-length" -> hasBody |= !FieldSyntax.trim(field.value()).equals("0");
                case "transfer-encoding" -> hasBody = true;
                // Fast path: nearly every request has these, so their names are not searched for credential words.
                case "host", "user-agent", "accept", "accept-encoding", "accept-language", "connection", "referer",
                        "origin", "dnt", "priority", "upgrade-insecure-requests", "via", "forwarded", "x-forwarded-for",
                        "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-request-id" -> {
                    // Not relevant to the cache.
                }
                default -> hasCookieOrCredential |= CredentialFields.isCredential(field.name());
            }
        }
        CacheControl cacheControl = hasCacheControl ? CacheControl.of(fields) : CacheControl.NONE;
        return new RequestHead(method, fields, cacheControl,
                cacheControl.noCache() || (pragmaNoCache && !hasCacheControl),
                hasAuthorization,
                hasCookieOrCredential, hasRange, isConditional, hasPrecondition, hasBody);
    }

    /** A copy with {@link #hasCookieOrCredential} false. */
    public RequestHead withoutCookieOrCredential() {
        return new RequestHead(method, fields, cacheControl, noCache, hasAuthorization, false, hasRange, isConditional,
                hasPrecondition,
                hasBody);
    }

    /**
     * The request as a shared fetch sends it: without the fields that the policy does not allow. If the response varies by such a
     * field, it is the response to a request without that field.
     *
     * @param varied lower-case names of fields that are sent because responses are known to vary by them
     */
    public RequestHead filteredBy(RequestHeaderPolicy headers, List<String> varied) {
        HeaderFields allowed = fields.without(name -> !headers.isAllowed(name, varied));
        return allowed.equals(fields)
                ? this
                : new RequestHead(method, allowed, cacheControl, noCache, hasAuthorization, hasCookieOrCredential,
                        hasRange, isConditional,
                        hasPrecondition, hasBody);
    }

    /** A copy that ignores {@code Cache-Control} and {@code Pragma}. */
    public RequestHead withoutCacheDirectives() {
        return new RequestHead(method, fields, CacheControl.NONE, false, hasAuthorization, hasCookieOrCredential,
                hasRange, isConditional,
                hasPrecondition, hasBody);
    }

    /** Whether the method is {@code HEAD}. A cache fills it with a GET and responds without the body. */
    public boolean isHead() {
        return method.equals("HEAD");
    }

    /**
     * Why this request bypasses the cache and is forwarded unchanged: {@code method}, {@code body} or {@code precondition}. Empty if
     * it may use a stored response or share a fetch.
     */
    public Optional<String> bypassReason() {
        if (!isHead() && !method.equals("GET")) {
            return Optional.of("method");
        }
        if (hasBody) {
            return Optional.of("body");
        }
        return hasPrecondition ? Optional.of("precondition") : Optional.empty();
    }
}
