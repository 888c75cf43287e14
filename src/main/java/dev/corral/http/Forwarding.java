package dev.corral.http;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** What of a message's fields goes on to the next hop (RFC 9110 section 7.6). */
public final class Forwarding {

    /** Meant for one connection, or for the proxy that is spoken to (RFC 9110 section 7.6.1, RFC 9111 section 3.1). */
    private static final Set<String> HOP_BY_HOP = Set.of("connection", "keep-alive", "proxy-connection",
            "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "te", "trailer",
            "transfer-encoding", "upgrade", "http2-settings");

    /** Of no use to others: conditions, ranges, and what describes a body that a shared fetch does not have. */
    private static final Set<String> OF_ONE_REQUEST = Set.of("if-match", "if-none-match", "if-modified-since",
            "if-unmodified-since", "if-range", "range", "content-length", "content-type", "content-encoding", "expect");

    /** What we say ourselves. */
    private static final Set<String> OURS = Set.of("forwarded", "x-forwarded-for", "x-forwarded-proto",
            "x-forwarded-host");

    /** No connection option may be one of these (RFC 9110 section 7.6.1); dropping one would change who may have the answer. */
    private static final Set<String> FOR_ALL = Set.of("cache-control", "cdn-cache-control", "vary", "set-cookie",
            "expires",
            "date", "content-type", "content-encoding", "authorization", "cookie", "host");

    private Forwarding() {}

    /**
     * The client's end of the request.
     *
     * @param clientAddress as text, without a port
     * @param scheme {@code http} or {@code https}
     * @param host as the client named it; empty when it named none
     * @param protocolVersion as in {@code Via}: {@code 1.0}, {@code 1.1}, {@code 2}
     */
    public record From(String clientAddress, String scheme, String host, String protocolVersion) {}

    /**
     * How one route forwards. Immutable.
     *
     * @param pseudonym our name in {@code Via}
     * @param trustForwarded there is a proxy before us, and what it says in {@code Forwarded} and {@code X-Forwarded-*} is true:
     *        ours is added to it. Else what the client says there is dropped
     * @param keyedHost the cache key has the client's scheme and host; only then a shared fetch tells them to the origin
     * @param unkeyed fields that a shared fetch does not carry, lower-cased: an answer that depended on one of them would be
     *        given to others
     */
    public record Rules(String pseudonym, boolean trustForwarded, boolean keyedHost, Set<String> unkeyed) {

        /** Fields that origins are known to reflect or to obey. */
        public static final Set<String> REFLECTED = Set.of("x-forwarded", "x-forwarded-by", "x-forwarded-path",
                "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-protocol", "x-forwarded-scheme",
                "x-forwarded-server", "x-forwarded-ssl", "x-forwarded-uri", "x-forwarded-url", "x-original-host",
                "x-original-method", "x-original-uri", "x-original-url", "x-rewrite-uri", "x-rewrite-url", "x-host",
                "x-http-host-override", "x-backend-host", "x-proxy-host", "x-scheme", "x-url-scheme", "x-http-method",
                "x-http-method-override", "x-method-override", "front-end-https", "x-real-ip", "x-client-ip",
                "x-cluster-client-ip", "client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip",
                "x-wap-profile", "x-middleware-subrequest", "x-invoke-path", "x-envoy-original-path", "base-url",
                "destination", "proxy", "max-forwards",
                // A client's trace is not that of all who wait; ours takes its place where there is one.
                "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
                "x-b3-sampled", "x-b3-flags");

        /** No client is trusted, and the host is not told on shared fetches. */
        public static final Rules DEFAULT = new Rules("corral", false, false, REFLECTED);

        /** Lower-cases the names. */
        public Rules {
            var names = new HashSet<String>();
            for (String name : unkeyed) {
                names.add(name.toLowerCase(Locale.ROOT));
            }
            unkeyed = Set.copyOf(names);
        }
    }

    /**
     * The client's end as a trusted proxy saw it: scheme and host from {@code Forwarded} or else {@code X-Forwarded-*}. What
     * the cache key and {@link #toOrigin} should have. Without trust, the connection's.
     */
    public static From seen(Fields request, From connection, Rules rules) {
        if (!rules.trustForwarded) {
            return connection;
        }
        Optional<String> told = firstMember(request, "Forwarded");
        Optional<String> scheme = told.isPresent()
                ? parameter(told.get(), "proto")
                : firstMember(request, "X-Forwarded-Proto");
        Optional<String> host = told.isPresent()
                ? parameter(told.get(), "host")
                : firstMember(request, "X-Forwarded-Host");
        return new From(connection.clientAddress,
                scheme.map(text -> text.toLowerCase(Locale.ROOT))
                        .filter(Set.of("http", "https")::contains)
                        .orElse(connection.scheme),
                host.filter(Forwarding::plausibleHost).orElse(connection.host), connection.protocolVersion);
    }

    /**
     * The request's fields for the origin. {@code Host} is left to the caller.
     *
     * @param shared the answer may be given to others: no conditions, no range, no body, and none of the unkeyed fields
     */
    public static Fields toOrigin(Fields request, From from, Rules rules, boolean shared) {
        Set<String> named = namedInConnection(request);
        Fields kept = request.without(field -> {
            String name = field.toLowerCase(Locale.ROOT);
            return HOP_BY_HOP.contains(name) || named.contains(name) || OURS.contains(name)
                    || (shared && (OF_ONE_REQUEST.contains(name) || rules.unkeyed.contains(name)));
        });
        boolean tellsHost = !shared || rules.keyedHost;
        var lines = new ArrayList<>(kept.lines());
        lines.add(new Fields.Field("Via", from.protocolVersion + " " + rules.pseudonym));
        lines.add(new Fields.Field("X-Forwarded-For", String.join(", ", plus(clients(request, rules), bare(from)))));
        if (tellsHost) {
            lines.add(new Fields.Field("X-Forwarded-Proto", from.scheme));
            if (!from.host.isEmpty()) {
                lines.add(new Fields.Field("X-Forwarded-Host", from.host));
            }
        }
        lines.add(new Fields.Field("Forwarded",
                String.join(", ", plus(elements(request, rules), element(from, tellsHost)))));
        return Fields.of(lines);
    }

    /** An answer's fields without those of the connection. */
    public static Fields fromOrigin(Fields answer) {
        return endToEnd(answer);
    }

    /** A message's fields without those of the connection: the known ones, and those that {@code Connection} names. */
    static Fields endToEnd(Fields message) {
        Set<String> named = namedInConnection(message);
        return message.without(field -> {
            String name = field.toLowerCase(Locale.ROOT);
            return HOP_BY_HOP.contains(name) || named.contains(name);
        });
    }

    /** The fields {@code Connection} names, lower-cased, but for those of {@link #FOR_ALL}. */
    static Set<String> namedInConnection(Fields fields) {
        if (!fields.has("Connection")) {
            return Set.of();
        }
        var names = new HashSet<String>();
        for (String member : Syntax.members(fields.all("Connection"))) {
            names.add(member.toLowerCase(Locale.ROOT));
        }
        names.removeAll(FOR_ALL);
        return names;
    }

    /** The addresses a trusted proxy told, the client's first; from {@code Forwarded} if it speaks only that. */
    private static List<String> clients(Fields request, Rules rules) {
        if (!rules.trustForwarded) {
            return List.of();
        }
        List<String> told = Syntax.members(request.all("X-Forwarded-For"));
        if (!told.isEmpty()) {
            return told;
        }
        var addresses = new ArrayList<String>();
        for (String element : Syntax.members(request.all("Forwarded"))) {
            parameter(element, "for").ifPresent(node -> addresses.add(node.startsWith("[") && node.endsWith("]")
                    ? node.substring(1, node.length() - 1)
                    : node));
        }
        return addresses;
    }

    /** The elements of {@code Forwarded} that a trusted proxy sent, made of its {@code X-Forwarded-For} if it speaks only that. */
    private static List<String> elements(Fields request, Rules rules) {
        if (!rules.trustForwarded) {
            return List.of();
        }
        List<String> told = Syntax.members(request.all("Forwarded"));
        return told.isEmpty()
                ? Syntax.members(request.all("X-Forwarded-For")).stream().map(node -> "for=" + node(node)).toList()
                : told;
    }

    /** RFC 7239 section 4. */
    private static String element(From from, boolean tellsHost) {
        String element = "for=" + node(bare(from));
        if (!tellsHost) {
            return element;
        }
        return element + (from.host.isEmpty() ? "" : ";host=" + quoted(from.host)) + ";proto=" + from.scheme;
    }

    /** The address without the zone of a link-local one, which says nothing to others. */
    private static String bare(From from) {
        int zone = from.clientAddress.indexOf('%');
        String address = zone < 0 ? from.clientAddress : from.clientAddress.substring(0, zone);
        return address.isEmpty() ? "unknown" : address;
    }

    /** RFC 7239 section 6: an IPv6 address stands in brackets, and with a colon it must be quoted. */
    private static String node(String address) {
        boolean sixth = address.indexOf(':') != address.lastIndexOf(':') && !address.startsWith("[");
        return quoted(sixth ? "[" + address + "]" : address);
    }

    private static String quoted(String value) {
        return Syntax.isToken(value) ? value : Syntax.quote(value);
    }

    private static List<String> plus(List<String> told, String ours) {
        var all = new ArrayList<>(told);
        all.add(ours);
        return all;
    }

    private static Optional<String> firstMember(Fields fields, String name) {
        return Syntax.members(fields.all(name)).stream().findFirst();
    }

    /** The value of a parameter of one element of {@code Forwarded}, without quotes. */
    private static Optional<String> parameter(String element, String name) {
        for (String pair : element.split(";", -1)) {
            int equals = pair.indexOf('=');
            if (equals > 0 && Syntax.trim(pair.substring(0, equals)).equalsIgnoreCase(name)) {
                String value = Syntax.trim(pair.substring(equals + 1));
                boolean quotes = value.startsWith("\"") && Syntax.endOfQuoted(value, 0) == value.length();
                return Optional.of(quotes ? Syntax.unquote(value, 0, value.length()) : value);
            }
        }
        return Optional.empty();
    }

    /** A host with or without port; nothing that could end the authority or begin something else. */
    private static boolean plausibleHost(String host) {
        for (int i = 0; i < host.length(); i++) {
            char c = host.charAt(i);
            if (c <= ' ' || c >= 0x7f || "/\\?#@\"<>,;{}|^`".indexOf(c) >= 0) {
                return false;
            }
        }
        return !host.isEmpty();
    }
}
