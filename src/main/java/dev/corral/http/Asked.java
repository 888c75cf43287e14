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
 * @param authorized it carries {@code Authorization}
 * @param cookied it carries {@code Cookie}, or a field that names a user or a credential without being {@code Authorization},
 *        such as {@code X-Api-Key} ({@link Credentials})
 * @param ranged it carries {@code Range}
 * @param conditional it carries {@code If-None-Match} or {@code If-Modified-Since}, which a cache answers itself
 * @param preconditioned it carries {@code If-Match} or {@code If-Unmodified-Since}, which only the origin can answer
 * @param bodied it announces a body
 */
public record Asked(String method, Fields fields, CacheControl cacheControl, boolean noCache, boolean authorized,
        boolean cookied, boolean ranged, boolean conditional, boolean preconditioned, boolean bodied) {

    /** Reads a request. Never throws. */
    public static Asked parse(String method, Fields received) {
        boolean directives = false;
        boolean pragma = false;
        boolean authorized = false;
        boolean cookied = false;
        boolean ranged = false;
        boolean conditional = false;
        boolean preconditioned = false;
        boolean bodied = false;
        Set<String> named = Forwarding.namedInConnection(received);
        Fields fields = named.isEmpty()
                ? received
                : received.without(name -> named.contains(RequestHeaderPolicy.comparable(name)));
        for (Fields.Field field : fields) {
            switch (field.name().toLowerCase(Locale.ROOT)) {
                case "cache-control" -> directives = true;
                case "pragma" -> pragma |= CacheControl.parse(List.of(field.value())).noCache();
                case "authorization" -> authorized = true;
                case "range" -> ranged = true;
                case "if-none-match", "if-modified-since" -> conditional = true;
                case "if-match", "if-unmodified-since" -> preconditioned = true;
                case "content-length" -> bodied |= !Syntax.trim(field.value()).equals("0");
                case "transfer-encoding" -> bodied = true;
                // What nearly every request has, before the names are searched for words.
                case "host", "user-agent", "accept", "accept-encoding", "accept-language", "connection", "referer",
                        "origin", "dnt", "priority", "upgrade-insecure-requests", "via", "forwarded", "x-forwarded-for",
                        "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-request-id" -> {
                    // Of no concern to a cache.
                }
                default -> cookied |= Credentials.named(field.name());
            }
        }
        CacheControl cacheControl = directives ? CacheControl.of(fields) : CacheControl.NONE;
        return new Asked(method, fields, cacheControl, cacheControl.noCache() || (pragma && !directives), authorized,
                cookied, ranged, conditional, preconditioned, bodied);
    }

    /** The same, as if it were not {@link #cookied}. */
    Asked withoutCookie() {
        return new Asked(method, fields, cacheControl, noCache, authorized, false, ranged, conditional, preconditioned,
                bodied);
    }

    /**
     * The same as a shared fetch carries it: without the fields that its policy does not allow. A response that varies by one of
     * them is that of a request without it.
     *
     * @param varied the names that the fetch carries because responses are known to vary by them, in lower case
     */
    public Asked allowedBy(RequestHeaderPolicy headers, List<String> varied) {
        Fields allowed = fields.without(name -> !headers.isAllowed(name, varied));
        return allowed.equals(fields)
                ? this
                : new Asked(method, allowed, cacheControl, noCache, authorized, cookied, ranged, conditional,
                        preconditioned, bodied);
    }

    /** The same, as if it carried neither {@code Cache-Control} nor {@code Pragma}. */
    public Asked withoutDirectives() {
        return new Asked(method, fields, CacheControl.NONE, false, authorized, cookied, ranged, conditional,
                preconditioned, bodied);
    }

    /** Whether it is a {@code HEAD}: filled as a GET, answered without the body. */
    public boolean head() {
        return method.equals("HEAD");
    }

    /**
     * Why this request neither leads nor waits but goes to the origin by itself, unchanged; empty when it may share:
     * {@code method}, {@code body}, {@code precondition}. A stored answer must not serve it either.
     */
    public Optional<String> bypass() {
        if (!head() && !method.equals("GET")) {
            return Optional.of("method");
        }
        if (bodied) {
            return Optional.of("body");
        }
        return preconditioned ? Optional.of("precondition") : Optional.empty();
    }
}
