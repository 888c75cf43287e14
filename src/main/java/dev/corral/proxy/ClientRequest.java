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
 * One request, parsed once.
 *
 * @param target  path and query exactly as received
 * @param sharedFetchTarget what a shared fetch asks for; a function of the cache key
 * @param clientConnection    who sent it, by which way
 * @param keys where its answer lives
 * @param interimResponses hears of the interim answers to this request's own fetch
 * @param span   follows it
 */
public record ClientRequest(Route route, RequestHead head, String target, String sharedFetchTarget,
        Forwarding.ClientConnection clientConnection, ResourceKeys keys,
        Consumer<ResponseHead> interimResponses, RequestTracing.RequestSpan span) {

    /** Parses a request for the route. */
    public static ClientRequest of(Route route, RequestHead asked, RequestTarget target,
            Forwarding.ClientConnection from,
            Consumer<ResponseHead> interims, RequestTracing.RequestSpan trace) {
        String sharedTarget = CacheKey.sharedFetchTarget(target.path(), target.query(), route.queryRule());
        PurgeNames place = PurgeNames.of(route, from.scheme(), from.host(), target.path(), target.query());
        return new ClientRequest(route, asked, target.raw(), sharedTarget, from,
                resourceKeys(route, asked, from, place, sharedTarget),
                interims, trace);
    }

    /** The same request as the cache's own: without a client to hear of interim responses, and without the client's wishes. */
    ClientRequest withoutClient() {
        return new ClientRequest(route, head.withoutCacheDirectives(), target, sharedFetchTarget, clientConnection,
                keys, interim -> {}, span);
    }

    /**
     * All that a shared fetch sends of this client is in here: were anything else sent, one client could decide what the others
     * that have this key get.
     */
    private static ResourceKeys resourceKeys(Route route, RequestHead asked, Forwarding.ClientConnection from,
            PurgeNames place, String sharedTarget) {
        var more = new StringBuilder();
        for (String name : route.keyHeaders()) {
            more.append('\n').append(name).append('=').append(asked.fields().combinedValue(name).orElse(""));
        }
        if (!place.hostInKey() && route.forwarding().forwardsScheme(from)) {
            more.append("\nproto=").append(from.scheme());
        }
        if (!sharedTarget.equals(place.target())) {
            // An unusual spelling of its URI. The origin gets it as it is, and may take it for another resource.
            more.append("\nas=").append(sharedTarget);
        }
        return ResourceKeys.of(place, more.toString());
    }

    /**
     * The request whose answer all may have: nothing of this client in it that is not part of the cache key, but for the fields
     * that an origin must see to declare what its response depends on.
     *
     * @param varied the names that the resource's responses are known to vary by
     */
    OriginRequest toSharedRequest(HeaderFields conditions, List<String> varied) {
        var known = new Forwarding.ClientConnection(clientConnection.clientAddress(), clientConnection.scheme(),
                Authority.normalize(clientConnection.scheme(), clientConnection.host()),
                clientConnection.protocolVersion());
        HeaderFields fields = Forwarding.sharedRequestFields(head.fields(), known, route.forwarding(), varied);
        for (HeaderFields.FieldLine condition : conditions) {
            fields = fields.withReplaced(condition.name(), condition.value());
        }
        return new OriginRequest("GET", sharedFetchTarget, withHostField(fields, known.host()), Optional.empty());
    }

    /** The request by which a shared fetch's response is stored: as far as its fields were sent. */
    RequestHead sharedRequestHead(List<String> varied) {
        return head.filteredBy(route.forwarding().requestHeaderPolicy(), varied);
    }

    /** Whether a shared fetch leaves out fields of this client that might make another response, by the route's allow-list. */
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

    /** Whether {@link #toSharedRequest} asks for just what this client wants: a whole GET without conditions. */
    boolean isUnconditionalGet() {
        return head.method().equals("GET") && !head.hasRange() && !head.isConditional();
    }

    private HeaderFields withHostField(HeaderFields fields, String clients) {
        return switch (route.hostHeader()) {
            case Route.HostHeaderRule.OriginHost origin -> fields.without("Host");
            case Route.HostHeaderRule.ClientHost client -> fields.withReplaced("Host", clients);
            case Route.HostHeaderRule.LiteralHost(String host) -> fields.withReplaced("Host", host);
        };
    }

    /**
     * The names to purge after this answer (RFC 9111 section 4.4). The origin may name what it has changed by the client's host or
     * by the one it was asked for.
     */
    List<String> invalidatedBy(ResponseHead answer) {
        if (!route.cachePolicy().invalidateOnUnsafeMethods()) {
            return List.of();
        }
        return Stream.concat(invalidatedNames(answer, clientConnection.scheme() + "://" + clientConnection.host(), ""),
                invalidatedNames(answer, route.originConfig().baseUri().getScheme() + "://" + originHost(),
                        originBasePath()))
                .distinct()
                .toList();
    }

    private Stream<String> invalidatedNames(ResponseHead answer, String server, String prefix) {
        return Invalidation.targets(head.method(), server + prefix + target, answer)
                .stream()
                .map(ClientRequest::pathAndQuery)
                .filter(place -> place.startsWith(prefix + "/"))
                .map(place -> place.substring(prefix.length()))
                .map(this::purgeNameOf);
    }

    /** Path and query of an absolute URI. */
    private static String pathAndQuery(String uri) {
        int server = uri.indexOf("://") + 3;
        int end = server;
        while (end < uri.length() && uri.charAt(end) != '/' && uri.charAt(end) != '?') {
            end++;
        }
        String place = uri.substring(end);
        return place.startsWith("/") ? place : "/" + place;
    }

    private String purgeNameOf(String place) {
        int mark = place.indexOf('?');
        return PurgeNames
                .of(route, clientConnection.scheme(), clientConnection.host(),
                        mark < 0 ? place : place.substring(0, mark),
                        mark < 0 ? Optional.empty() : Optional.of(place.substring(mark + 1)))
                .urlName();
    }

    private String originHost() {
        return switch (route.hostHeader()) {
            case Route.HostHeaderRule.OriginHost origin -> route.originConfig().baseUri().getRawAuthority();
            case Route.HostHeaderRule.ClientHost client -> clientConnection.host();
            case Route.HostHeaderRule.LiteralHost(String host) -> host;
        };
    }

    /** The path of the origin's base, without a slash at its end. */
    private String originBasePath() {
        String path = route.originConfig().baseUri().getRawPath();
        return path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
    }
}
