package dev.corral.http;

import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Which of a client's request header fields a shared fetch carries. Its response is given to others, so a field that the origin
 * obeys or reflects without saying so in {@code Vary} would let one client decide what all of them get.
 *
 * <p>Names are compared as origins do that make variables of them (RFC 3875 section 4.1.18): without case, and with every
 * character that is neither letter nor digit read as a hyphen. {@code X_Forwarded_Host} is {@code X-Forwarded-Host}.
 *
 * <p>Immutable.
 *
 * @param mode          what happens to fields that are not known
 * @param keyFields     fields that are part of the cache key; always carried
 * @param keptFields    fields that the operator lets through, although they are withheld otherwise
 * @param removedFields fields that are withheld besides the known ones
 */
public record RequestHeaderPolicy(Mode mode, Set<String> keyFields, Set<String> keptFields, Set<String> removedFields) {

    /** What a shared fetch carries besides what is named. */
    public enum Mode {
        /** Every field but those known to steer origins or to be reflected. */
        FORWARD,
        /** Only the standard fields, what the response's {@code Vary} names, and what is keyed or kept. */
        STRICT
    }

    /** The known fields are withheld, all others are carried. */
    public static final RequestHeaderPolicy DEFAULT = new RequestHeaderPolicy(Mode.FORWARD, Set.of(), Set.of(),
            Set.of());

    /** Families, by the beginnings of their names: what proxies say to origins, and what frameworks take as orders. */
    private static final List<String> WITHHELD_PREFIXES = List.of(
            // Where the request came from or was to go, as one proxy tells the next.
            "x-forwarded", "x-forward-", "x-original-", "x-originating-", "x-rewrite-", "x-host", "x-backend-",
            "x-proxy", "x-client-", "x-remote-", "x-real-ip", "x-cluster-", "x-envoy-", "x-scheme", "x-url", "x-uri",
            "x-path", "x-override-", "x-ssl", "x-arr-", "x-azure-", "x-vercel-", "x-appengine-", "x-akamai-", "cf-",
            "cloudfront-", "fastly-", "akamai-", "true-client-", "client-ip", "front-end-",
            // Another method, host, path or status than that of the request.
            "x-http-", "x-method", "x-sendfile", "x-accel-",
            // Inner messages of frameworks.
            "x-middleware-", "x-invoke-", "x-now-", "x-nextjs-", "x-matched-path", "x-prerender-", "x-nuxt-",
            "x-react-router-", "x-remix-", "x-sveltekit-", "x-astro-");

    /**
     * Of those families, what authenticating proxies say of the user. The origin must see it to answer {@code private}, as it must
     * see {@code Authorization}. By their whole names: {@link CredentialFields} goes by words, and would take {@code X-Forwarded-Authority}
     * for one.
     */
    private static final Set<String> IDENTITY_FIELDS = Set.of("x-forwarded-user", "x-forwarded-email",
            "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token",
            "x-forwarded-client-cert", "x-remote-user", "x-remote-email", "x-remote-groups", "x-client-cert",
            "x-ssl-client-cert", "x-ssl-client-verify", "x-arr-clientcert", "cf-access-jwt-assertion",
            "cf-access-authenticated-user-email", "cf-access-client-id", "cf-access-client-secret");

    /** Single fields of the same kind, and those of one request: a trace is not that of all who wait. */
    private static final Set<String> WITHHELD_FIELDS = Set.of("forwarded", "via", "x-wap-profile", "base-url",
            "destination",
            "proxy", "max-forwards", "request-uri", "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid",
            "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "x-amzn-trace-id",
            "x-cloud-trace-context", "x-request-id", "x-correlation-id");

    /**
     * Request fields that browsers and other clients send by standards, on which responses depend by {@code Vary},
     * {@code private} or {@code no-store}.
     */
    private static final Set<String> STANDARD_FIELDS = Set.of("accept", "accept-charset", "accept-encoding",
            "accept-language", "accept-datetime", "authorization", "cache-control", "cookie", "date", "dnt", "from",
            "origin", "pragma", "prefer", "priority", "referer", "save-data", "upgrade-insecure-requests",
            "user-agent");

    /** Families of such: client hints, fetch metadata, Global Privacy Control. */
    private static final List<String> STANDARD_PREFIXES = List.of("sec-ch-", "sec-fetch-", "sec-gpc");

    /** Lower-cases the names; those to remove are compared as the known ones are. */
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

    /** The name as it is compared: in lower case, with a hyphen for whatever is neither letter nor digit. */
    static String canonicalName(String name) {
        int odd = 0;
        while (odd < name.length() && (isLowerAlphanumeric(name.charAt(odd)) || name.charAt(odd) == '-')) {
            odd++;
        }
        if (odd == name.length()) {
            return name;
        }
        var comparable = new StringBuilder(name.length()).append(name, 0, odd);
        for (int i = odd; i < name.length(); i++) {
            char c = name.charAt(i);
            char low = c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
            comparable.append(isLowerAlphanumeric(low) ? low : '-');
        }
        return comparable.toString();
    }

    /** Whether two names can be one to an origin although they differ: it has other characters than letters, digits, hyphens. */
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

    /** Whether that field is part of the cache key, in just this spelling. */
    boolean isKeyField(String name) {
        return !keyFields.isEmpty() && keyFields.contains(name.toLowerCase(Locale.ROOT));
    }

    /** Whether the operator lets that field through, in just this spelling. */
    boolean isKeptField(String name) {
        return !keptFields.isEmpty() && keptFields.contains(name.toLowerCase(Locale.ROOT));
    }

    /** Whether no shared fetch carries that field, whatever the mode. */
    public boolean isWithheld(String name) {
        if (isKeyField(name) || isKeptField(name)) {
            return false;
        }
        String comparable = canonicalName(name);
        return isAmbiguousName(name) || WITHHELD_FIELDS.contains(comparable) || removedFields.contains(comparable)
                || (startsWithAny(comparable, WITHHELD_PREFIXES) && !IDENTITY_FIELDS.contains(comparable));
    }

    /**
     * Whether a shared fetch carries that field.
     *
     * @param varied the names that the resource's responses are known to vary by, in lower case
     */
    public boolean isForwarded(String name, List<String> varied) {
        return !isWithheld(name) && isAllowed(name, varied);
    }

    /** Whether {@link Mode#STRICT} lets that field through; all are allowed otherwise. */
    boolean isAllowed(String name, List<String> varied) {
        if (mode == Mode.FORWARD || isKeyField(name) || isKeptField(name)) {
            return true;
        }
        String lower = name.toLowerCase(Locale.ROOT);
        return STANDARD_FIELDS.contains(lower) || varied.contains(lower) || startsWithAny(lower, STANDARD_PREFIXES);
    }

    private static boolean startsWithAny(String name, List<String> beginnings) {
        for (String beginning : beginnings) {
            if (name.startsWith(beginning)) {
                return true;
            }
        }
        return false;
    }
}
