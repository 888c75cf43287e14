package dev.corral.http;

import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Decides which request header fields of a client a shared fetch sends. The response is given to other clients, so a field that
 * the origin obeys or reflects without naming it in {@code Vary} would let one client decide what all of them get (cache poisoning).
 *
 * <p>Names are compared like those origins do that turn them into variables (RFC 3875 section 4.1.18): without regard to case, and
 * with every character that is neither letter nor digit as a hyphen. {@code X_Forwarded_Host} equals {@code X-Forwarded-Host}.
 *
 * <p>Immutable.
 *
 * @param mode          treatment of fields that no list names
 * @param keyFields     fields that are part of the cache key; always sent
 * @param keptFields    fields that the operator allows although they would be withheld
 * @param removedFields fields that are withheld in addition to the built-in ones
 */
public record RequestHeaderPolicy(Mode mode, Set<String> keyFields, Set<String> keptFields, Set<String> removedFields) {

    /** The treatment of fields that no list names. */
    public enum Mode {
        /** Sends every field except those known to steer origins or to be reflected. */
        FORWARD,
        /** Sends only standard fields, fields named by the response's {@code Vary}, and key or kept fields. */
        STRICT
    }

    /** Withholds the built-in fields and sends all others. */
    public static final RequestHeaderPolicy DEFAULT = new RequestHeaderPolicy(Mode.FORWARD, Set.of(), Set.of(),
            Set.of());

    /** Name prefixes of fields by which proxies inform origins, or which frameworks obey. */
    private static final List<String> WITHHELD_PREFIXES = List.of(
            // Source or destination of the request, reported by one proxy to the next.
            "x-forwarded", "x-forward-", "x-original-", "x-originating-", "x-rewrite-", "x-host", "x-backend-",
            "x-proxy", "x-client-", "x-remote-", "x-real-ip", "x-cluster-", "x-envoy-", "x-scheme", "x-url", "x-uri",
            "x-path", "x-override-", "x-ssl", "x-arr-", "x-azure-", "x-vercel-", "x-appengine-", "x-akamai-", "cf-",
            "cloudfront-", "fastly-", "akamai-", "true-client-", "client-ip", "front-end-",
            // Override method, host, path or status of the request.
            "x-http-", "x-method", "x-sendfile", "x-accel-",
            // Internal messages of frameworks.
            "x-middleware-", "x-invoke-", "x-now-", "x-nextjs-", "x-matched-path", "x-prerender-", "x-nuxt-",
            "x-react-router-", "x-remix-", "x-sveltekit-", "x-astro-");

    /**
     * Fields with such a prefix by which authenticating proxies identify the user. They are sent: the origin needs them, like
     * {@code Authorization}, to respond with {@code private}. Listed by full name because the words of {@link CredentialFields} would
     * also match {@code X-Forwarded-Authority}.
     */
    private static final Set<String> IDENTITY_FIELDS = Set.of("x-forwarded-user", "x-forwarded-email",
            "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token",
            "x-forwarded-client-cert", "x-remote-user", "x-remote-email", "x-remote-groups", "x-client-cert",
            "x-ssl-client-cert", "x-ssl-client-verify", "x-arr-clientcert", "cf-access-jwt-assertion",
            "cf-access-authenticated-user-email", "cf-access-client-id", "cf-access-client-secret");

    /** Single fields of the same kind, and identifiers of one request: a trace does not belong to the other waiters. */
    private static final Set<String> WITHHELD_FIELDS = Set.of("forwarded", "via", "x-wap-profile", "base-url",
            "destination",
            "proxy", "max-forwards", "request-uri", "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid",
            "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "x-amzn-trace-id",
            "x-cloud-trace-context", "x-request-id", "x-correlation-id");

    /**
     * Standard request fields of browsers and other clients. Responses that depend on them say so by {@code Vary},
     * {@code private} or {@code no-store}.
     */
    private static final Set<String> STANDARD_FIELDS = Set.of("accept", "accept-charset", "accept-encoding",
            "accept-language", "accept-datetime", "authorization", "cache-control", "cookie", "date", "dnt", "from",
            "origin", "pragma", "prefer", "priority", "referer", "save-data", "upgrade-insecure-requests",
            "user-agent");

    /** Name prefixes of standard fields: client hints, fetch metadata, Global Privacy Control. */
    private static final List<String> STANDARD_PREFIXES = List.of("sec-ch-", "sec-fetch-", "sec-gpc");

    /** Converts names to lower case, and those to remove to canonical form, as they are compared. */
    public RequestHeaderPolicy {
        keyFields = toLowerCase(keyFields);
        keptFields = toLowerCase(keptFields);
        var names = new HashSet<String>();
        removedFields.forEach(name -> names.add(canonicalName(name)));
        removedFields = Set.copyOf(names);
    }

    private static Set<String> toLowerCase(Set<String> names) {
        var lower = new HashSet<String>();
        names.forEach(name -> lower.add(name.toLowerCase(Locale.ROOT)));
        return Set.copyOf(lower);
    }

    /** The name in the form in which it is compared: lower case, with a hyphen for every character but letters and digits. */
    static String canonicalName(String name) {
        int firstChanged = 0;
        while (firstChanged < name.length()
                && (isLowerAlphanumeric(name.charAt(firstChanged)) || name.charAt(firstChanged) == '-')) {
            firstChanged++;
        }
        if (firstChanged == name.length()) {
            return name;
        }
        var canonical = new StringBuilder(name.length()).append(name, 0, firstChanged);
        for (int i = firstChanged; i < name.length(); i++) {
            char c = name.charAt(i);
            char lower = c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
            canonical.append(isLowerAlphanumeric(lower) ? lower : '-');
        }
        return canonical.toString();
    }

    /** Whether an origin may confuse the name with another one: it has characters other than letters, digits and hyphens. */
    static boolean isAmbiguousName(String name) {
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (!isLowerAlphanumeric(c >= 'A' && c <= 'Z' ? (char) (c + 32) : c) && c != '-') {
                return true;
            }
        }
        return false;
    }

    private static boolean isLowerAlphanumeric(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    }

    /** Whether the field is part of the cache key, in exactly this spelling apart from case. */
    boolean isKeyField(String name) {
        return !keyFields.isEmpty() && keyFields.contains(name.toLowerCase(Locale.ROOT));
    }

    /** Whether the operator allows the field, in exactly this spelling apart from case. */
    boolean isKeptField(String name) {
        return !keptFields.isEmpty() && keptFields.contains(name.toLowerCase(Locale.ROOT));
    }

    /** Whether shared fetches omit the field in every mode. */
    boolean isWithheld(String name) {
        if (isKeyField(name) || isKeptField(name)) {
            return false;
        }
        String canonical = canonicalName(name);
        return isAmbiguousName(name) || WITHHELD_FIELDS.contains(canonical) || removedFields.contains(canonical)
                || (startsWithAny(canonical, WITHHELD_PREFIXES) && !IDENTITY_FIELDS.contains(canonical));
    }

    /**
     * Whether a shared fetch sends the field.
     *
     * @param varied lower-case names of the fields that the resource's responses are known to vary by
     */
    public boolean isForwarded(String name, List<String> varied) {
        return !isWithheld(name) && isAllowed(name, varied);
    }

    /** Whether {@link Mode#STRICT} allows the field. {@link Mode#FORWARD} allows all. */
    boolean isAllowed(String name, List<String> varied) {
        if (mode == Mode.FORWARD || isKeyField(name) || isKeptField(name)) {
            return true;
        }
        String lower = name.toLowerCase(Locale.ROOT);
        return STANDARD_FIELDS.contains(lower) || varied.contains(lower) || startsWithAny(lower, STANDARD_PREFIXES);
    }

    private static boolean startsWithAny(String name, List<String> prefixes) {
        for (String prefix : prefixes) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }
}
