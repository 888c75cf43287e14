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

    /** What must not be there in a second spelling, whoever reads the request. */
    private static final Set<String> ONCE = Set.of("content-length", "host");

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
     * @param keyedHost the cache key has the client's scheme and host; only then a shared fetch tells the host to the origin
     * @param headers which of the client's fields a shared fetch carries
     */
    public record Rules(String pseudonym, boolean trustForwarded, boolean keyedHost, RequestHeaderPolicy headers) {

        /** No client is trusted, and the host is not told on shared fetches. */
        public static final Rules DEFAULT = new Rules("corral", false, false, RequestHeaderPolicy.DEFAULT);

        /**
         * Whether a shared fetch tells the client's scheme, which must be part of the cache key then: where a trusted proxy says
         * it, where the key has it anyway, and where the connection itself is https. An http connection without a trusted proxy
         * says nothing of what the client used.
         */
        public boolean tellsScheme(From from) {
            return trustForwarded || keyedHost || from.scheme.equals("https");
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
                host.filter(Authority::isValid).orElse(connection.host), connection.protocolVersion);
    }

    /**
     * The request's fields for the origin, for a response that is for this client alone. {@code Host} is left to the caller.
     */
    public static Fields toOrigin(Fields request, From from, Rules rules) {
        Set<String> named = namedInConnection(request);
        Fields kept = request.without(field -> {
            String name = RequestHeaderPolicy.comparable(field);
            return HOP_BY_HOP.contains(name) || named.contains(name) || OURS.contains(name)
                    || (ONCE.contains(name) && RequestHeaderPolicy.isAmbiguous(field));
        });
        var lines = new ArrayList<>(kept.lines());
        lines.add(new Fields.Field("Via", from.protocolVersion + " " + rules.pseudonym));
        lines.add(new Fields.Field("X-Forwarded-For", clients(request, from, rules)));
        lines.add(new Fields.Field("X-Forwarded-Proto", from.scheme));
        if (!from.host.isEmpty()) {
            lines.add(new Fields.Field("X-Forwarded-Host", from.host));
        }
        lines.add(new Fields.Field("Forwarded", String.join(", ",
                plus(elements(request, rules), element(true, !from.host.isEmpty(), true, from)))));
        return Fields.of(lines);
    }

    /**
     * The fields of a fetch whose response may be given to others: no conditions, no range, no body, none of the fields that its
     * policy withholds, and of this client's way to us only what the cache key has. The client's address is not told, for the
     * response is not for that client; an operator may keep {@code X-Forwarded-For} and {@code Forwarded}. {@code Host} is left to
     * the caller.
     *
     * @param from   with the host in the key's spelling
     * @param varied the names that the resource's responses are known to vary by, in lower case
     */
    public static Fields toOriginShared(Fields request, From from, Rules rules, List<String> varied) {
        Set<String> named = namedInConnection(request);
        RequestHeaderPolicy headers = rules.headers;
        Fields kept = request.without(field -> {
            String name = RequestHeaderPolicy.comparable(field);
            return HOP_BY_HOP.contains(name) || named.contains(name) || OF_ONE_REQUEST.contains(name)
                    || (OURS.contains(name) && !headers.isKeyed(field)) || !headers.carries(field, varied);
        });
        boolean tellsScheme = rules.tellsScheme(from);
        boolean tellsHost = rules.keyedHost && !from.host.isEmpty();
        boolean tellsClient = headers.isKept("forwarded");
        var lines = new ArrayList<>(kept.lines());
        lines.add(new Fields.Field("Via", "1.1 " + rules.pseudonym));
        if (headers.isKept("x-forwarded-for") && !headers.isKeyed("x-forwarded-for")) {
            lines.add(new Fields.Field("X-Forwarded-For", clients(request, from, rules)));
        }
        if (tellsScheme && !headers.isKeyed("x-forwarded-proto")) {
            lines.add(new Fields.Field("X-Forwarded-Proto", from.scheme));
        }
        if (tellsHost && !headers.isKeyed("x-forwarded-host")) {
            lines.add(new Fields.Field("X-Forwarded-Host", from.host));
        }
        if ((tellsClient || tellsHost || tellsScheme) && !headers.isKeyed("forwarded")) {
            lines.add(new Fields.Field("Forwarded", String.join(", ",
                    plus(tellsClient ? elements(request, rules) : List.of(),
                            element(tellsClient, tellsHost, tellsScheme, from)))));
        }
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
            String name = RequestHeaderPolicy.comparable(field);
            return HOP_BY_HOP.contains(name) || named.contains(name);
        });
    }

    /** The fields {@code Connection} names, as {@link RequestHeaderPolicy#comparable} has them, but for those of {@link #FOR_ALL}. */
    static Set<String> namedInConnection(Fields fields) {
        if (!fields.has("Connection")) {
            return Set.of();
        }
        var names = new HashSet<String>();
        for (String member : Syntax.members(fields.all("Connection"))) {
            names.add(RequestHeaderPolicy.comparable(member));
        }
        names.removeAll(FOR_ALL);
        return names;
    }

    /** {@code X-Forwarded-For}: the addresses a trusted proxy told, and then the one that is connected to us. */
    private static String clients(Fields request, From from, Rules rules) {
        return String.join(", ", plus(clients(request, rules), bare(from)));
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
    private static String element(boolean tellsClient, boolean tellsHost, boolean tellsScheme, From from) {
        var pairs = new ArrayList<String>();
        if (tellsClient) {
            pairs.add("for=" + node(bare(from)));
        }
        if (tellsHost) {
            pairs.add("host=" + quoted(from.host));
        }
        if (tellsScheme) {
            pairs.add("proto=" + from.scheme);
        }
        return String.join(";", pairs);
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
}
