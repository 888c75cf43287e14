package dev.corral.http;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * What the client asked, parsed once at the edge. Immutable.
 *
 * @param method as received; methods are case-sensitive
 * @param fields the request's fields, as received, without those that {@code Connection} names: they do not reach the origin,
 *        so they must not select a variant either
 * @param noCache the client wants validation: {@code no-cache}, or {@code Pragma: no-cache} and no {@code Cache-Control}
 *        (RFC 9111 section 5.4)
 * @param hasAuthorization it carries {@code Authorization}
 * @param hasCookieOrCredential it carries {@code Cookie}, or a field that names a user or a credential without being {@code Authorization},
 *        such as {@code X-Api-Key} ({@link CredentialFields})
 * @param hasRange it carries {@code Range}
 * @param isConditional it carries {@code If-None-Match} or {@code If-Modified-Since}, which a cache answers itself
 * @param hasPrecondition it carries {@code If-Match} or {@code If-Unmodified-Since}, which only the origin can answer
 * @param hasBody it announces a body
 */
public record RequestHead(String method, HeaderFields fields, CacheControl cacheControl, boolean noCache,
        boolean hasAuthorization,
        boolean hasCookieOrCredential, boolean hasRange, boolean isConditional, boolean hasPrecondition,
        boolean hasBody) {

    /** Reads a request. Never throws. */
    public static RequestHead parse(String method, HeaderFields received) {
        boolean directives = false;
        boolean pragma = false;
        boolean authorized = false;
        boolean cookied = false;
        boolean ranged = false;
        boolean conditional = false;
        boolean preconditioned = false;
        boolean bodied = false;
        Set<String> named = Forwarding.connectionOptions(received);
        HeaderFields fields = named.isEmpty()
                ? received
                : received.without(name -> named.contains(RequestHeaderPolicy.canonicalName(name)));
        for (HeaderFields.FieldLine field : fields) {
            switch (field.name().toLowerCase(Locale.ROOT)) {
                case "cache-control" -> directives = true;
                case "pragma" -> pragma |= CacheControl.parse(List.of(field.value())).noCache();
                case "authorization" -> authorized = true;
                case "range" -> ranged = true;
                case "if-none-match", "if-modified-since" -> conditional = true;
                case "if-match", "if-unmodified-since" -> preconditioned = true;
                case "content-length" -> bodied |= !FieldSyntax.trim(field.value()).equals("0");
                case "transfer-encoding" -> bodied = true;
                // What nearly every request has, before the names are searched for words.
                case "host", "user-agent", "accept", "accept-encoding", "accept-language", "connection", "referer",
                        "origin", "dnt", "priority", "upgrade-insecure-requests", "via", "forwarded", "x-forwarded-for",
                        "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-request-id" -> {
                    // Of no concern to a cache.
                }
                default -> cookied |= CredentialFields.isCredential(field.name());
            }
        }
        CacheControl cacheControl = directives ? CacheControl.of(fields) : CacheControl.NONE;
        return new RequestHead(method, fields, cacheControl, cacheControl.noCache() || (pragma && !directives),
                authorized,
                cookied, ranged, conditional, preconditioned, bodied);
    }

    /** The same, as if it were not {@link #hasCookieOrCredential}. */
    public RequestHead withoutCookieOrCredential() {
        return new RequestHead(method, fields, cacheControl, noCache, hasAuthorization, false, hasRange, isConditional,
                hasPrecondition,
                hasBody);
    }

    /**
     * The same as a shared fetch carries it: without the fields that its policy does not allow. A response that varies by one of
     * them is that of a request without it.
     *
     * @param varied the names that the fetch carries because responses are known to vary by them, in lower case
     */
    public RequestHead filteredBy(RequestHeaderPolicy headers, List<String> varied) {
        HeaderFields allowed = fields.without(name -> !headers.isAllowed(name, varied));
        return allowed.equals(fields)
                ? this
                : new RequestHead(method, allowed, cacheControl, noCache, hasAuthorization, hasCookieOrCredential,
                        hasRange, isConditional,
                        hasPrecondition, hasBody);
    }

    /** The same, as if it carried neither {@code Cache-Control} nor {@code Pragma}. */
    public RequestHead withoutCacheDirectives() {
        return new RequestHead(method, fields, CacheControl.NONE, false, hasAuthorization, hasCookieOrCredential,
                hasRange, isConditional,
                hasPrecondition, hasBody);
    }

    /** Whether it is a {@code HEAD}: filled as a GET, answered without the body. */
    public boolean isHead() {
        return method.equals("HEAD");
    }

    /**
     * Why this request neither leads nor waits but goes to the origin by itself, unchanged; empty when it may share:
     * {@code method}, {@code body}, {@code precondition}. A stored answer must not serve it either.
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
