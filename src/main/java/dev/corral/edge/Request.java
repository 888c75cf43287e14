package dev.corral.edge;

import dev.corral.http.Asked;
import dev.corral.http.CacheKey;
import dev.corral.http.CacheKey.QueryRule;
import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.Head;
import dev.corral.http.Invalidation;
import dev.corral.origin.Outgoing;
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
 * @param from    who sent it, by which way
 * @param address where its answer lives
 * @param interims hears of the interim answers to this request's own fetch
 * @param trace   follows it
 */
record Request(Route route, Asked asked, String target, Forwarding.From from, Address address,
        Consumer<Head> interims, Tracing.Trace trace) {

    /**
     * Parses a request for the route.
     *
     * @param query without its question mark; empty when there is none
     */
    static Request of(Route route, Asked asked, String path, Optional<String> query, Forwarding.From from,
            Consumer<Head> interims, Tracing.Trace trace) {
        String target = path + query.map(text -> "?" + text).orElse("");
        return new Request(route, asked, target, from, address(route, asked, from, path, query), interims,
                trace);
    }

    /** The same request without a client to hear of interim answers. */
    Request unheard() {
        return new Request(route, asked, target, from, address, interim -> {}, trace);
    }

    private static Address address(Route route, Asked asked, Forwarding.From from, String path,
            Optional<String> query) {
        Place place = Place.of(route, from.scheme(), from.host(), path, query);
        var more = new StringBuilder();
        for (String name : route.keyed()) {
            more.append('\n').append(name).append('=').append(asked.fields().joined(name).orElse(""));
        }
        if (odd(path, query)) {
            more.append("\nas=").append(path).append(query.map(text -> "?" + text).orElse(""));
        }
        return Address.of(place, more.toString());
    }

    /**
     * Whether this is an unusual spelling of its URI. The origin gets it as it is, and may take it for another resource: were
     * its answer stored where all others look, one request could put an error in everybody's way.
     */
    private static boolean odd(String path, Optional<String> query) {
        return !CacheKey.path(path).equals(path)
                || query.filter(text -> text.indexOf('%') >= 0)
                        .filter(text -> !CacheKey.target("/", query, QueryRule.ALL).equals("/?" + text))
                        .isPresent();
    }

    /** The request whose answer all may have: nothing of this client in it that is not part of the cache key. */
    Outgoing shared(Fields conditions) {
        Fields fields = Forwarding.toOrigin(asked.fields(), from, route.forwarding(), true);
        for (Fields.Field condition : conditions) {
            fields = fields.with(condition.name(), condition.value());
        }
        return new Outgoing("GET", target, host(fields), Optional.empty());
    }

    /** The request as this client sent it, for this client only. */
    Outgoing own(Optional<Flux<DataBuffer>> body) {
        return new Outgoing(asked.method(), target,
                host(Forwarding.toOrigin(asked.fields(), from, route.forwarding(), false)), body);
    }

    /** Whether {@link #shared} asks for just what this client wants: a whole GET without conditions. */
    boolean plain() {
        return asked.method().equals("GET") && !asked.ranged() && !asked.conditional();
    }

    private Fields host(Fields fields) {
        return switch (route.host()) {
            case Route.HostRule.OfOrigin origin -> fields.without("Host");
            case Route.HostRule.OfClient client -> fields.with("Host", from.host());
            case Route.HostRule.Literal(String host) -> fields.with("Host", host);
        };
    }

    /**
     * The names to purge after this answer (RFC 9111 section 4.4). The origin may name what it has changed by the client's host or
     * by the one it was asked for.
     */
    List<String> changed(Head answer) {
        if (!route.policy().invalidateOnUnsafeMethods()) {
            return List.of();
        }
        return Stream.concat(changed(answer, from.scheme() + "://" + from.host(), ""),
                changed(answer, route.upstream().base().getScheme() + "://" + originHost(), prefix()))
                .distinct()
                .toList();
    }

    private Stream<String> changed(Head answer, String server, String prefix) {
        return Invalidation.targets(asked.method(), server + prefix + target, answer)
                .stream()
                .map(Request::place)
                .filter(place -> place.startsWith(prefix + "/"))
                .map(place -> place.substring(prefix.length()))
                .map(this::named);
    }

    /** Path and query of an absolute URI. */
    private static String place(String uri) {
        int server = uri.indexOf("://") + 3;
        int end = server;
        while (end < uri.length() && uri.charAt(end) != '/' && uri.charAt(end) != '?') {
            end++;
        }
        String place = uri.substring(end);
        return place.startsWith("/") ? place : "/" + place;
    }

    private String named(String place) {
        int mark = place.indexOf('?');
        return Place.of(route, from.scheme(), from.host(), mark < 0 ? place : place.substring(0, mark),
                mark < 0 ? Optional.empty() : Optional.of(place.substring(mark + 1))).name();
    }

    private String originHost() {
        return switch (route.host()) {
            case Route.HostRule.OfOrigin origin -> route.upstream().base().getRawAuthority();
            case Route.HostRule.OfClient client -> from.host();
            case Route.HostRule.Literal(String host) -> host;
        };
    }

    /** The path of the origin's base, without a slash at its end. */
    private String prefix() {
        String path = route.upstream().base().getRawPath();
        return path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
    }
}
