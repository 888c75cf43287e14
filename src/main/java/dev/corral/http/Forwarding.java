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
    private static final Set<String> HOP_BY_HOP_FIELDS = Set.of("connection", "keep-alive", "proxy-connection",
            "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "te", "trailer",
            "transfer-encoding", "upgrade", "http2-settings");

    /** Of no use to others: conditions, ranges, and what describes a body that a shared fetch does not have. */
    private static final Set<String> REQUEST_SPECIFIC_FIELDS = Set.of("if-match", "if-none-match", "if-modified-since",
            "if-unmodified-since", "if-range", "range", "content-length", "content-type", "content-encoding", "expect");

    /** What we say ourselves. */
    private static final Set<String> REPLACED_FIELDS = Set.of("forwarded", "x-forwarded-for", "x-forwarded-proto",
            "x-forwarded-host");

    /** What must not be there in a second spelling, whoever reads the request. */
    private static final Set<String> SINGLE_SPELLING_FIELDS = Set.of("content-length", "host");

    /** No connection option may be one of these (RFC 9110 section 7.6.1); dropping one would change who may have the answer. */
    private static final Set<String> NEVER_HOP_BY_HOP = Set.of("cache-control", "cdn-cache-control", "vary",
            "set-cookie",
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
    public record ClientConnection(String clientAddress, String scheme, String host, String protocolVersion) {}

    /**
     * How one route forwards. Immutable.
     *
     * @param pseudonym our name in {@code Via}
     * @param trustForwardedFields there is a proxy before us, and what it says in {@code Forwarded} and {@code X-Forwarded-*} is true:
     *        ours is added to it. Else what the client says there is dropped
     * @param hostInKey the cache key has the client's scheme and host; only then a shared fetch tells the host to the origin
     * @param requestHeaderPolicy which of the client's fields a shared fetch carries
     */
    public record ForwardingRules(String pseudonym, boolean trustForwardedFields, boolean hostInKey,
            RequestHeaderPolicy requestHeaderPolicy) {

        /** No client is trusted, and the host is not told on shared fetches. */
        public static final ForwardingRules DEFAULT = new ForwardingRules("corral", false, false,
                RequestHeaderPolicy.DEFAULT);

        /**
         * Whether a shared fetch tells the client's scheme, which must be part of the cache key then: where a trusted proxy says
         * it, where the key has it anyway, and where the connection itself is https. An http connection without a trusted proxy
         * says nothing of what the client used.
         */
        public boolean forwardsScheme(ClientConnection from) {
            return trustForwardedFields || hostInKey || from.scheme.equals("https");
        }
    }

    /**
     * The client's end as a trusted proxy saw it: scheme and host from {@code Forwarded} or else {@code X-Forwarded-*}. What
     * the cache key and {@link #passRequestFields} should have. Without trust, the connection's.
     */
    public static ClientConnection effectiveClient(HeaderFields request, ClientConnection connection,
            ForwardingRules rules) {
        if (!rules.trustForwardedFields) {
            return connection;
        }
        Optional<String> told = firstListMember(request, "Forwarded");
        Optional<String> scheme = told.isPresent()
                ? forwardedParameter(told.get(), "proto")
                : firstListMember(request, "X-Forwarded-Proto");
        Optional<String> host = told.isPresent()
                ? forwardedParameter(told.get(), "host")
                : firstListMember(request, "X-Forwarded-Host");
        return new ClientConnection(connection.clientAddress,
                scheme.map(text -> text.toLowerCase(Locale.ROOT))
                        .filter(Set.of("http", "https")::contains)
                        .orElse(connection.scheme),
                host.filter(Authority::isValid).orElse(connection.host), connection.protocolVersion);
    }

    /**
     * The request's fields for the origin, for a response that is for this client alone. {@code Host} is left to the caller.
     */
    public static HeaderFields passRequestFields(HeaderFields request, ClientConnection from, ForwardingRules rules) {
        Set<String> named = connectionOptions(request);
        HeaderFields kept = request.without(field -> {
            String name = RequestHeaderPolicy.canonicalName(field);
            return HOP_BY_HOP_FIELDS.contains(name) || named.contains(name) || REPLACED_FIELDS.contains(name)
                    || (SINGLE_SPELLING_FIELDS.contains(name) && RequestHeaderPolicy.isAmbiguousName(field));
        });
        var lines = new ArrayList<>(kept.lines());
        lines.add(new HeaderFields.FieldLine("Via", from.protocolVersion + " " + rules.pseudonym));
        lines.add(new HeaderFields.FieldLine("X-Forwarded-For", forwardedForValue(request, from, rules)));
        lines.add(new HeaderFields.FieldLine("X-Forwarded-Proto", from.scheme));
        if (!from.host.isEmpty()) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-Host", from.host));
        }
        lines.add(new HeaderFields.FieldLine("Forwarded", String.join(", ",
                append(forwardedElements(request, rules), forwardedElement(true, !from.host.isEmpty(), true, from)))));
        return HeaderFields.of(lines);
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
    public static HeaderFields sharedRequestFields(HeaderFields request, ClientConnection from, ForwardingRules rules,
            List<String> varied) {
        Set<String> named = connectionOptions(request);
        RequestHeaderPolicy headers = rules.requestHeaderPolicy;
        HeaderFields kept = request.without(field -> {
            String name = RequestHeaderPolicy.canonicalName(field);
            return HOP_BY_HOP_FIELDS.contains(name) || named.contains(name) || REQUEST_SPECIFIC_FIELDS.contains(name)
                    || (REPLACED_FIELDS.contains(name) && !headers.isKeyField(field))
                    || !headers.isForwarded(field, varied);
        });
        boolean tellsScheme = rules.forwardsScheme(from);
        boolean tellsHost = rules.hostInKey && !from.host.isEmpty();
        boolean tellsClient = headers.isKeptField("forwarded");
        var lines = new ArrayList<>(kept.lines());
        lines.add(new HeaderFields.FieldLine("Via", "1.1 " + rules.pseudonym));
        if (headers.isKeptField("x-forwarded-for") && !headers.isKeyField("x-forwarded-for")) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-For", forwardedForValue(request, from, rules)));
        }
        if (tellsScheme && !headers.isKeyField("x-forwarded-proto")) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-Proto", from.scheme));
        }
        if (tellsHost && !headers.isKeyField("x-forwarded-host")) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-Host", from.host));
        }
        if ((tellsClient || tellsHost || tellsScheme) && !headers.isKeyField("forwarded")) {
            lines.add(new HeaderFields.FieldLine("Forwarded", String.join(", ",
                    append(tellsClient ? forwardedElements(request, rules) : List.of(),
                            forwardedElement(tellsClient, tellsHost, tellsScheme, from)))));
        }
        return HeaderFields.of(lines);
    }

    /** An answer's fields without those of the connection. */
    public static HeaderFields endToEndResponseFields(HeaderFields answer) {
        return endToEndFields(answer);
    }

    /** A message's fields without those of the connection: the known ones, and those that {@code Connection} names. */
    static HeaderFields endToEndFields(HeaderFields message) {
        Set<String> named = connectionOptions(message);
        return message.without(field -> {
            String name = RequestHeaderPolicy.canonicalName(field);
            return HOP_BY_HOP_FIELDS.contains(name) || named.contains(name);
        });
    }

    /** The fields {@code Connection} names, as {@link RequestHeaderPolicy#canonicalName} has them, but for those of {@link #NEVER_HOP_BY_HOP}. */
    static Set<String> connectionOptions(HeaderFields fields) {
        if (!fields.has("Connection")) {
            return Set.of();
        }
        var names = new HashSet<String>();
        for (String member : FieldSyntax.listMembers(fields.values("Connection"))) {
            names.add(RequestHeaderPolicy.canonicalName(member));
        }
        names.removeAll(NEVER_HOP_BY_HOP);
        return names;
    }

    /** {@code X-Forwarded-For}: the addresses a trusted proxy told, and then the one that is connected to us. */
    private static String forwardedForValue(HeaderFields request, ClientConnection from, ForwardingRules rules) {
        return String.join(", ", append(forwardedAddresses(request, rules), addressWithoutZone(from)));
    }

    /** The addresses a trusted proxy told, the client's first; from {@code Forwarded} if it speaks only that. */
    private static List<String> forwardedAddresses(HeaderFields request, ForwardingRules rules) {
        if (!rules.trustForwardedFields) {
            return List.of();
        }
        List<String> told = FieldSyntax.listMembers(request.values("X-Forwarded-For"));
        if (!told.isEmpty()) {
            return told;
        }
        var addresses = new ArrayList<String>();
        for (String element : FieldSyntax.listMembers(request.values("Forwarded"))) {
            forwardedParameter(element, "for")
                    .ifPresent(node -> addresses.add(node.startsWith("[") && node.endsWith("]")
                            ? node.substring(1, node.length() - 1)
                            : node));
        }
        return addresses;
    }

    /** The elements of {@code Forwarded} that a trusted proxy sent, made of its {@code X-Forwarded-For} if it speaks only that. */
    private static List<String> forwardedElements(HeaderFields request, ForwardingRules rules) {
        if (!rules.trustForwardedFields) {
            return List.of();
        }
        List<String> told = FieldSyntax.listMembers(request.values("Forwarded"));
        return told.isEmpty()
                ? FieldSyntax.listMembers(request.values("X-Forwarded-For"))
                        .stream()
                        .map(node -> "for=" + forwardedNode(node))
                        .toList()
                : told;
    }

    /** RFC 7239 section 4. */
    private static String forwardedElement(boolean tellsClient, boolean tellsHost, boolean tellsScheme,
            ClientConnection from) {
        var pairs = new ArrayList<String>();
        if (tellsClient) {
            pairs.add("for=" + forwardedNode(addressWithoutZone(from)));
        }
        if (tellsHost) {
            pairs.add("host=" + quoteIfNeeded(from.host));
        }
        if (tellsScheme) {
            pairs.add("proto=" + from.scheme);
        }
        return String.join(";", pairs);
    }

    /** The address without the zone of a link-local one, which says nothing to others. */
    private static String addressWithoutZone(ClientConnection from) {
        int zone = from.clientAddress.indexOf('%');
        String address = zone < 0 ? from.clientAddress : from.clientAddress.substring(0, zone);
        return address.isEmpty() ? "unknown" : address;
    }

    /** RFC 7239 section 6: an IPv6 address stands in brackets, and with a colon it must be quoted. */
    private static String forwardedNode(String address) {
        boolean sixth = address.indexOf(':') != address.lastIndexOf(':') && !address.startsWith("[");
        return quoteIfNeeded(sixth ? "[" + address + "]" : address);
    }

    private static String quoteIfNeeded(String value) {
        return FieldSyntax.isToken(value) ? value : FieldSyntax.quote(value);
    }

    private static List<String> append(List<String> told, String ours) {
        var all = new ArrayList<>(told);
        all.add(ours);
        return all;
    }

    private static Optional<String> firstListMember(HeaderFields fields, String name) {
        return FieldSyntax.listMembers(fields.values(name)).stream().findFirst();
    }

    /** The value of a parameter of one element of {@code Forwarded}, without quotes. */
    private static Optional<String> forwardedParameter(String element, String name) {
        for (String pair : element.split(";", -1)) {
            int equals = pair.indexOf('=');
            if (equals > 0 && FieldSyntax.trim(pair.substring(0, equals)).equalsIgnoreCase(name)) {
                String value = FieldSyntax.trim(pair.substring(equals + 1));
                boolean quotes = value.startsWith("\"") && FieldSyntax.endOfQuotedString(value, 0) == value.length();
                return Optional.of(quotes ? FieldSyntax.unquote(value, 0, value.length()) : value);
            }
        }
        return Optional.empty();
    }
}
