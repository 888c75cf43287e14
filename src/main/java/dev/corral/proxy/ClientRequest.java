package dev.corral.proxy;

import dev.corral.cache.CacheKey;
import dev.corral.cache.Invalidation;
import dev.corral.http.Authority;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.RequestTarget;
import dev.corral.http.ResponseHead;
import dev.corral.origin.OriginRequest;
import dev.corral.proxy.observe.RequestTracing;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;

/**
 * A parsed client request.
 *
 * @param target path and query exactly as received
 * @param sharedFetchTarget the target of a shared fetch; a function of the cache key
 * @param clientConnection the client and how it is connected
 * @param keys the cache keys of its response
 * @param interimResponses receives the interim responses to this request's own fetch
 * @param span the trace span of the request
 */
public record ClientRequest(Route route, RequestHead head, String target, String sharedFetchTarget,
        Forwarding.ClientConnection clientConnection, ResourceKeys keys,
        Consumer<ResponseHead> interimResponses, RequestTracing.RequestSpan span) {

    /** Parses a request for the route. */
    public static ClientRequest of(Route route, RequestHead head, RequestTarget target,
            Forwarding.ClientConnection connection,
            Consumer<ResponseHead> interimResponses, RequestTracing.RequestSpan span) {
        String sharedTarget = CacheKey.sharedFetchTarget(target.path(), target.query(), route.queryRule());
        PurgeNames purgeNames = PurgeNames.of(route, connection.scheme(), connection.host(), target.path(),
                target.query());
        return new ClientRequest(route, head, target.raw(), sharedTarget, connection,
                resourceKeys(route, head, connection, purgeNames, sharedTarget),
                interimResponses, span);
    }

    /**
     * This request as one of the cache itself: without a receiver of interim responses and without the client's cache directives.
     */
    ClientRequest withoutClient() {
        return new ClientRequest(route, head.withoutCacheDirectives(), target, sharedFetchTarget, clientConnection,
                keys, interim -> {}, span);
    }

    /**
     * The keys contain everything of this client that a shared fetch sends. If a shared fetch sent anything else, one client could
     * influence the response that other clients with this key get.
     */
    private static ResourceKeys resourceKeys(Route route, RequestHead head, Forwarding.ClientConnection connection,
            PurgeNames purgeNames, String sharedTarget) {
        var keySuffix = new StringBuilder();
        for (String name : route.keyHeaders()) {
            keySuffix.append('\n').append(name).append('=').append(head.fields().combinedValue(name).orElse(""));
        }
        if (!purgeNames.hostInKey() && route.forwarding().forwardsScheme(connection)) {
            keySuffix.append("\nproto=").append(connection.scheme());
        }
        if (!sharedTarget.equals(purgeNames.target())) {
            // A URI that is not in normal form. The origin gets it unchanged, and may map it to another resource.
            keySuffix.append("\nas=").append(sharedTarget);
        }
        return ResourceKeys.of(purgeNames, keySuffix.toString());
    }

    /**
     * The request of a shared fetch. Apart from the cache key, it contains nothing of this client but the fields that an origin
     * must see in order to declare what its response depends on.
     *
     * @param varied the names of the fields that the resource's responses are known to vary by
     */
    OriginRequest toSharedRequest(HeaderFields conditions, List<String> varied) {
        var normalized = new Forwarding.ClientConnection(clientConnection.clientAddress(), clientConnection.scheme(),
                Authority.normalize(clientConnection.scheme(), clientConnection.host()),
                clientConnection.protocolVersion());
        HeaderFields fields = Forwarding.sharedRequestFields(head.fields(), normalized, route.forwarding(), varied);
        for (HeaderFields.FieldLine condition : conditions) {
            fields = fields.withReplaced(condition.name(), condition.value());
        }
        return new OriginRequest("GET", sharedFetchTarget, withHostField(fields, normalized.host()), Optional.empty());
    }

    /** The request head under which the response of a shared fetch is stored: only the fields that the fetch sent. */
    RequestHead sharedRequestHead(List<String> varied) {
        return head.filteredBy(route.forwarding().requestHeaderPolicy(), varied);
    }

    /** Whether the route's allow-list makes a shared fetch omit fields of this client that could change the response. */
    boolean isFilteredWhenShared(List<String> varied) {
        return !sharedRequestHead(varied).equals(head);
    }

    /** The request as this client sent it, for this client only. */
    OriginRequest toPassRequest(Optional<Flux<DataBuffer>> body) {
        return new OriginRequest(head.method(), target,
                withHostField(Forwarding.passRequestFields(head.fields(), clientConnection, route.forwarding()),
                        clientConnection.host()),
                body);
    }

    /** Whether {@link #toSharedRequest} is equivalent to this request: a GET without range and without conditions. */
    boolean isUnconditionalGet() {
        return head.method().equals("GET") && !head.hasRange() && !head.isConditional();
    }

    private HeaderFields withHostField(HeaderFields fields, String clientHost) {
        return switch (route.hostHeader()) {
            case Route.HostHeaderRule.OriginHost origin -> fields.without("Host");
            case Route.HostHeaderRule.ClientHost client -> fields.withReplaced("Host", clientHost);
            case Route.HostHeaderRule.LiteralHost(String host) -> fields.withReplaced("Host", host);
        };
    }

    /**
     * The names to purge after this response (RFC 9111 section 4.4). The origin may refer to the changed resources by the client's
     * host or by the host of the origin request.
     */
    List<String> invalidatedBy(ResponseHead response) {
        if (!route.cachePolicy().invalidateOnUnsafeMethods()) {
            return List.of();
        }
        return Stream.concat(
                invalidatedNames(response, clientConnection.scheme() + "://" + clientConnection.host(), ""),
                invalidatedNames(response, route.originConfig().baseUri().getScheme() + "://" + originHost(),
                        originBasePath()))
                .distinct()
                .toList();
    }

    private Stream<String> invalidatedNames(ResponseHead response, String server, String prefix) {
        return Invalidation.targets(head.method(), server + prefix + target, response)
                .stream()
                .map(ClientRequest::pathAndQuery)
                .filter(uri -> uri.startsWith(prefix + "/"))
                .map(uri -> uri.substring(prefix.length()))
                .map(this::purgeNameOf);
    }

    /** Path and query of an absolute URI. */
    private static String pathAndQuery(String uri) {
        int authority = uri.indexOf("://") + 3;
        int end = authority;
        while (end < uri.length() && uri.charAt(end) != '/' && uri.charAt(end) != '?') {
            end++;
        }
        String rest = uri.substring(end);
        return rest.startsWith("/") ? rest : "/" + rest;
    }

    private String purgeNameOf(String uri) {
        int mark = uri.indexOf('?');
        return PurgeNames
                .of(route, clientConnection.scheme(), clientConnection.host(),
                        mark < 0 ? uri : uri.substring(0, mark),
                        mark < 0 ? Optional.empty() : Optional.of(uri.substring(mark + 1)))
                .urlName();
    }

    private String originHost() {
        return switch (route.hostHeader()) {
            case Route.HostHeaderRule.OriginHost origin -> route.originConfig().baseUri().getRawAuthority();
            case Route.HostHeaderRule.ClientHost client -> clientConnection.host();
            case Route.HostHeaderRule.LiteralHost(String host) -> host;
        };
    }

    /** The path of the origin's base URI, without a trailing slash. */
    private String originBasePath() {
        String path = route.originConfig().baseUri().getRawPath();
        return path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
    }
}
