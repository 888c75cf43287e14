package dev.corral.edge;

import dev.corral.http.Asked;
import dev.corral.http.Authority;
import dev.corral.http.CacheKey;
import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.Head;
import dev.corral.http.Invalidation;
import dev.corral.http.RequestTarget;
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
 * @param sharedTarget what a shared fetch asks for; a function of the cache key
 * @param from    who sent it, by which way
 * @param address where its answer lives
 * @param interims hears of the interim answers to this request's own fetch
 * @param trace   follows it
 */
record Request(Route route, Asked asked, String target, String sharedTarget, Forwarding.From from, Address address,
        Consumer<Head> interims, Tracing.Trace trace) {

    /** Parses a request for the route. */
    static Request of(Route route, Asked asked, RequestTarget target, Forwarding.From from,
            Consumer<Head> interims, Tracing.Trace trace) {
        String sharedTarget = CacheKey.target(target.path(), target.query(), route.query());
        Place place = Place.of(route, from.scheme(), from.host(), target.path(), target.query());
        return new Request(route, asked, target.text(), sharedTarget, from,
                address(route, asked, from, place, sharedTarget),
                interims, trace);
    }

    /** The same request as the cache's own: without a client to hear of interim responses, and without the client's wishes. */
    Request ofOurOwn() {
        return new Request(route, asked.withoutDirectives(), target, sharedTarget, from, address, interim -> {}, trace);
    }

    /**
     * All that a shared fetch sends of this client is in here: were anything else sent, one client could decide what the others
     * that have this key get.
     */
    private static Address address(Route route, Asked asked, Forwarding.From from, Place place, String sharedTarget) {
        var more = new StringBuilder();
        for (String name : route.keyed()) {
            more.append('\n').append(name).append('=').append(asked.fields().joined(name).orElse(""));
        }
        if (!place.hosted() && route.forwarding().tellsScheme(from)) {
            more.append("\nproto=").append(from.scheme());
        }
        if (!sharedTarget.equals(place.target())) {
            // An unusual spelling of its URI. The origin gets it as it is, and may take it for another resource.
            more.append("\nas=").append(sharedTarget);
        }
        return Address.of(place, more.toString());
    }

    /**
     * The request whose answer all may have: nothing of this client in it that is not part of the cache key, but for the fields
     * that an origin must see to declare what its response depends on.
     *
     * @param varied the names that the resource's responses are known to vary by
     */
    Outgoing shared(Fields conditions, List<String> varied) {
        var known = new Forwarding.From(from.clientAddress(), from.scheme(),
                Authority.normal(from.scheme(), from.host()), from.protocolVersion());
        Fields fields = Forwarding.toOriginShared(asked.fields(), known, route.forwarding(), varied);
        for (Fields.Field condition : conditions) {
            fields = fields.with(condition.name(), condition.value());
        }
        return new Outgoing("GET", sharedTarget, host(fields, known.host()), Optional.empty());
    }

    /** The request by which a shared fetch's response is stored: as far as its fields were sent. */
    Asked sharedAsked(List<String> varied) {
        return asked.allowedBy(route.forwarding().headers(), varied);
    }

    /** Whether a shared fetch leaves out fields of this client that might make another response, by the route's allow-list. */
    boolean isCut(List<String> varied) {
        return !sharedAsked(varied).equals(asked);
    }

    /** The request as this client sent it, for this client only. */
    Outgoing own(Optional<Flux<DataBuffer>> body) {
        return new Outgoing(asked.method(), target,
                host(Forwarding.toOrigin(asked.fields(), from, route.forwarding()), from.host()), body);
    }

    /** Whether {@link #shared} asks for just what this client wants: a whole GET without conditions. */
    boolean plain() {
        return asked.method().equals("GET") && !asked.ranged() && !asked.conditional();
    }

    private Fields host(Fields fields, String clients) {
        return switch (route.host()) {
            case Route.HostRule.OfOrigin origin -> fields.without("Host");
            case Route.HostRule.OfClient client -> fields.with("Host", clients);
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
