package dev.corral.http;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * Computes the header fields of forwarded messages (RFC 9110 section 7.6).
 *
 * <p>A request is forwarded in one of two ways. {@link #passRequestFields} is for a response to this client alone: all end-to-end
 * fields are sent. {@link #sharedRequestFields} is for a response that may be given to other clients: only fields that the route's
 * {@link RequestHeaderPolicy} allows are sent, so that no client can influence what the others get.
 *
 * <p>Field names are compared in canonical form ({@link RequestHeaderPolicy#canonicalName}), because many origins cannot
 * distinguish {@code X_Forwarded_Host} from {@code X-Forwarded-Host}. All methods are pure functions.
 */
public final class Forwarding {

    /** Fields for one connection or for the next proxy only (RFC 9110 section 7.6.1, RFC 9111 section 3.1). */
    private static final Set<String> HOP_BY_HOP_FIELDS = Set.of("connection", "keep-alive", "proxy-connection",
            "proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "te", "trailer",
            "transfer-encoding", "upgrade", "http2-settings");

    /** Fields of a single request: conditions, ranges, and the description of a body, which a shared fetch does not have. */
    private static final Set<String> REQUEST_SPECIFIC_FIELDS = Set.of("if-match", "if-none-match", "if-modified-since",
            "if-unmodified-since", "if-range", "range", "content-length", "content-type", "content-encoding", "expect");

    /** Fields that Corral sends with its own values. */
    private static final Set<String> REPLACED_FIELDS = Set.of("forwarded", "x-forwarded-for", "x-forwarded-proto",
            "x-forwarded-host");

    /** Fields that must not occur in a second spelling: origins could read the message differently (request smuggling). */
    private static final Set<String> SINGLE_SPELLING_FIELDS = Set.of("content-length", "host");

    /**
     * Fields that {@code Connection} must not name (RFC 9110 section 7.6.1). If it does, they are kept: without them a response
     * could reach clients that must not have it.
     */
    private static final Set<String> NEVER_HOP_BY_HOP = Set.of("cache-control", "cdn-cache-control", "vary",
            "set-cookie",
            "expires",
            "date", "content-type", "content-encoding", "authorization", "cookie", "host");

    private Forwarding() {}

    /**
     * The client's side of the connection.
     *
     * @param clientAddress IP address as text, without a port
     * @param scheme {@code http} or {@code https}
     * @param host as the client sent it; empty if absent
     * @param protocolVersion as in {@code Via}: {@code 1.0}, {@code 1.1}, {@code 2}
     */
    public record ClientConnection(String clientAddress, String scheme, String host, String protocolVersion) {}

    /**
     * The forwarding rules of one route. Immutable.
     *
     * @param pseudonym Corral's name in {@code Via}
     * @param trustForwardedFields whether a trusted proxy is in front of Corral: its {@code Forwarded} and {@code X-Forwarded-*} are
     *        kept and Corral's values appended. Otherwise the client's values are removed
     * @param hostInKey whether the cache key contains the client's scheme and host; only then does a shared fetch send the host
     * @param requestHeaderPolicy which of the client's fields a shared fetch sends
     */
    public record ForwardingRules(String pseudonym, boolean trustForwardedFields, boolean hostInKey,
            RequestHeaderPolicy requestHeaderPolicy) {

        /**
         * Whether a shared fetch sends the client's scheme, which must then be part of the cache key. It does if a trusted proxy
         * reports the scheme, if the key contains it anyway, or if the connection itself is https. An http connection without a
         * trusted proxy does not reveal which scheme the client used.
         */
        public boolean forwardsScheme(ClientConnection from) {
            return trustForwardedFields || hostInKey || from.scheme.equals("https");
        }
    }

    /**
     * The client's connection as a trusted proxy reports it: scheme and host from {@code Forwarded}, or else from
     * {@code X-Forwarded-*}. The cache key and {@link #passRequestFields} are built from it. Without a trusted proxy the values are
     * those of the connection.
     */
    public static ClientConnection effectiveClient(HeaderFields request, ClientConnection connection,
            ForwardingRules rules) {
        if (!rules.trustForwardedFields) {
            return connection;
        }
        Optional<String> forwarded = firstListMember(request, "Forwarded");
        Optional<String> scheme = forwarded.isPresent()
                ? forwardedParameter(forwarded.get(), "proto")
                : firstListMember(request, "X-Forwarded-Proto");
        Optional<String> host = forwarded.isPresent()
                ? forwardedParameter(forwarded.get(), "host")
                : firstListMember(request, "X-Forwarded-Host");
        return new ClientConnection(connection.clientAddress,
                scheme.map(text -> text.toLowerCase(Locale.ROOT))
                        .filter(Set.of("http", "https")::contains)
                        .orElse(connection.scheme),
                host.filter(Authority::isValid).orElse(connection.host), connection.protocolVersion);
    }

    /**
     * The request fields for the origin if the response is for this client only. The caller sets {@code Host}.
     */
    public static HeaderFields passRequestFields(HeaderFields request, ClientConnection from, ForwardingRules rules) {
        Set<String> connectionOptions = connectionOptions(request);
        HeaderFields kept = request.without(field -> {
            String name = RequestHeaderPolicy.canonicalName(field);
            return HOP_BY_HOP_FIELDS.contains(name) || connectionOptions.contains(name)
                    || REPLACED_FIELDS.contains(name)
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
     * The request fields for the origin if the response may be given to other clients: without conditions, range, body and the
     * fields that the policy withholds. Of the client's connection only what the cache key contains is sent. The client's address is
     * not sent because the response is not for that client alone; an operator may keep {@code X-Forwarded-For} and
     * {@code Forwarded}. The caller sets {@code Host}.
     *
     * @param from   the client's connection, with the host in the spelling of the cache key
     * @param varied lower-case names of the fields that the resource's responses are known to vary by
     */
    public static HeaderFields sharedRequestFields(HeaderFields request, ClientConnection from, ForwardingRules rules,
            List<String> varied) {
        Set<String> connectionOptions = connectionOptions(request);
        RequestHeaderPolicy headers = rules.requestHeaderPolicy;
        HeaderFields kept = request.without(field -> {
            String name = RequestHeaderPolicy.canonicalName(field);
            return HOP_BY_HOP_FIELDS.contains(name) || connectionOptions.contains(name)
                    || REQUEST_SPECIFIC_FIELDS.contains(name)
                    || (REPLACED_FIELDS.contains(name) && !headers.isKeyField(field))
                    || !headers.isForwarded(field, varied);
        });
        boolean includeScheme = rules.forwardsScheme(from);
        boolean includeHost = rules.hostInKey && !from.host.isEmpty();
        boolean includeClient = headers.isKeptField("forwarded");
        var lines = new ArrayList<>(kept.lines());
        lines.add(new HeaderFields.FieldLine("Via", "1.1 " + rules.pseudonym));
        if (headers.isKeptField("x-forwarded-for") && !headers.isKeyField("x-forwarded-for")) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-For", forwardedForValue(request, from, rules)));
        }
        if (includeScheme && !headers.isKeyField("x-forwarded-proto")) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-Proto", from.scheme));
        }
        if (includeHost && !headers.isKeyField("x-forwarded-host")) {
            lines.add(new HeaderFields.FieldLine("X-Forwarded-Host", from.host));
        }
        if ((includeClient || includeHost || includeScheme) && !headers.isKeyField("forwarded")) {
            lines.add(new HeaderFields.FieldLine("Forwarded", String.join(", ",
                    append(includeClient ? forwardedElements(request, rules) : List.of(),
                            forwardedElement(includeClient, includeHost, includeScheme, from)))));
        }
        return HeaderFields.of(lines);
    }

    /** A response's fields without the hop-by-hop ones: the standard ones and those that {@code Connection} names. */
    public static HeaderFields endToEndResponseFields(HeaderFields response) {
        Set<String> connectionOptions = connectionOptions(response);
        return response.without(field -> {
            String name = RequestHeaderPolicy.canonicalName(field);
            return HOP_BY_HOP_FIELDS.contains(name) || connectionOptions.contains(name);
        });
    }

    /** The canonical names of the fields that {@code Connection} names, without {@link #NEVER_HOP_BY_HOP}. */
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

    /** {@code X-Forwarded-For}: the addresses from a trusted proxy, followed by the address of the connection. */
    private static String forwardedForValue(HeaderFields request, ClientConnection from, ForwardingRules rules) {
        return String.join(", ", append(forwardedAddresses(request, rules), addressWithoutZone(from)));
    }

    /** The addresses from a trusted proxy, the client's first; from {@code Forwarded} if it sends only that. */
    private static List<String> forwardedAddresses(HeaderFields request, ForwardingRules rules) {
        if (!rules.trustForwardedFields) {
            return List.of();
        }
        List<String> forwardedFor = FieldSyntax.listMembers(request.values("X-Forwarded-For"));
        if (!forwardedFor.isEmpty()) {
            return forwardedFor;
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

    /** The elements of a trusted proxy's {@code Forwarded}, or derived from {@code X-Forwarded-For} if it sends only that. */
    private static List<String> forwardedElements(HeaderFields request, ForwardingRules rules) {
        if (!rules.trustForwardedFields) {
            return List.of();
        }
        List<String> elements = FieldSyntax.listMembers(request.values("Forwarded"));
        return elements.isEmpty()
                ? FieldSyntax.listMembers(request.values("X-Forwarded-For"))
                        .stream()
                        .map(node -> "for=" + forwardedNode(node))
                        .toList()
                : elements;
    }

    /** Corral's element of {@code Forwarded} (RFC 7239 section 4). */
    private static String forwardedElement(boolean includeClient, boolean includeHost, boolean includeScheme,
            ClientConnection from) {
        var pairs = new ArrayList<String>();
        if (includeClient) {
            pairs.add("for=" + forwardedNode(addressWithoutZone(from)));
        }
        if (includeHost) {
            pairs.add("host=" + quoteIfNeeded(from.host));
        }
        if (includeScheme) {
            pairs.add("proto=" + from.scheme);
        }
        return String.join(";", pairs);
    }

    /** The address without the zone of a link-local one, which has a meaning on this machine only. */
    private static String addressWithoutZone(ClientConnection from) {
        int zone = from.clientAddress.indexOf('%');
        String address = zone < 0 ? from.clientAddress : from.clientAddress.substring(0, zone);
        return address.isEmpty() ? "unknown" : address;
    }

    /** A node of {@code Forwarded} (RFC 7239 section 6): IPv6 in brackets, and quoted because of its colons. */
    private static String forwardedNode(String address) {
        boolean isIpv6 = address.indexOf(':') != address.lastIndexOf(':') && !address.startsWith("[");
        return quoteIfNeeded(isIpv6 ? "[" + address + "]" : address);
    }

    private static String quoteIfNeeded(String value) {
        return FieldSyntax.isToken(value) ? value : FieldSyntax.quote(value);
    }

    private static List<String> append(List<String> elements, String last) {
        var all = new ArrayList<>(elements);
        all.add(last);
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
                boolean isQuoted = value.startsWith("\"") && FieldSyntax.endOfQuotedString(value, 0) == value.length();
                return Optional.of(isQuoted ? FieldSyntax.unquote(value, 0, value.length()) : value);
            }
        }
        return Optional.empty();
    }
}
