package dev.corral.proxy;

import dev.corral.cache.CacheKey.QueryRule;
import dev.corral.cache.CachePolicy;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.http.RequestHeaderPolicy.Mode;
import dev.corral.http.RequestTarget;
import dev.corral.origin.OriginAddressResolverGroup;
import dev.corral.origin.OriginClient;
import dev.corral.origin.OriginConfig;
import dev.corral.origin.OriginRequest;
import dev.corral.proxy.observe.RequestTracing;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowSynchronizationStrategy;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig.SlidingWindowType;
import java.net.URI;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.springframework.util.unit.DataSize;
import org.springframework.web.util.pattern.PathPatternParser;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Safety rule 3: of two requests with one cache key, whichever is first, the origin gets one target, one Host and the same
 * forwarding fields on the shared fetch, and none of the fields that steer origins, however they are spelt.
 */
class SharedFetchPropertyTest {

    private static final OriginConfig UPSTREAM = new OriginConfig("shop", URI.create("http://origin.example/base"),
            Duration.ofSeconds(1), DataSize.ofKilobytes(1), 25, Duration.ofMinutes(1), Optional.empty());

    /** Never asked. */
    private static final OriginClient ORIGIN = new OriginClient(UPSTREAM, "/",
            CircuitBreaker.of("shop", CircuitBreakerConfig.custom()
                    .slidingWindow(100, 100, SlidingWindowType.COUNT_BASED,
                            SlidingWindowSynchronizationStrategy.LOCK_FREE)
                    .build()),
            Bulkhead.ofDefaults("shop"), new OriginAddressResolverGroup(), Clock.systemUTC());

    /** One client's request: what it sends, and how it is connected. */
    record SentRequest(String path, Optional<String> query, String scheme, String address,
            List<HeaderFields.FieldLine> fields) {}

    private static final Set<String> FORWARDING_FIELDS = Set.of("via", "forwarded", "x-forwarded-proto",
            "x-forwarded-host");

    /** As the issue names the families; an oracle of its own, not the one under test. */
    private static final List<String> STEERING_PREFIXES = List.of("x-forwarded", "x-original-", "x-rewrite-",
            "x-middleware-",
            "x-invoke-", "x-now-", "x-nextjs-", "x-sendfile", "x-accel-", "x-http-", "x-host", "x-real-ip", "range",
            "if-", "content-", "expect");

    private static Route route(Route.HostHeaderRule host, boolean trust, QueryRule query, List<String> keyed,
            Mode mode) {
        var headers = new RequestHeaderPolicy(mode, Set.copyOf(keyed), Set.of(), Set.of());
        return new Route("shop", PathPatternParser.defaultInstance.parse("/**"), UPSTREAM, ORIGIN, host,
                new Forwarding.ForwardingRules("corral", trust, host instanceof Route.HostHeaderRule.ClientHost,
                        headers),
                query, keyed,
                CachePolicy.DEFAULT, Set.of(), Duration.ofSeconds(1));
    }

    private static final List<Route> ROUTES = Stream
            .of(new Route.HostHeaderRule.OriginHost(), new Route.HostHeaderRule.ClientHost(),
                    new Route.HostHeaderRule.LiteralHost("shop"))
            .flatMap(host -> Stream.of(true, false)
                    .flatMap(trust -> Stream
                            .of(QueryRule.ALL_PARAMETERS, new QueryRule(List.of(), List.of("utm")),
                                    new QueryRule(List.of("id"), List.of()),
                                    new QueryRule(List.of(), List.of(), true))
                            .flatMap(query -> Stream.of(List.<String>of(), List.of("X-Device", "X-Forwarded-Proto"))
                                    .flatMap(keyed -> Stream.of(Mode.values())
                                            .map(mode -> route(host, trust, query, keyed, mode))))))
            .toList();

    @Provide
    Arbitrary<Route> route() {
        return Arbitraries.of(ROUTES);
    }

    @Provide
    Arbitrary<SentRequest> sent() {
        Arbitrary<String> path = Arbitraries.of("/a", "/%61", "/a/", "/./a", "/b/../a", "/a%2f", "/a%2F", "/\u00e9",
                "/|");
        Arbitrary<Optional<String>> query = Arbitraries
                .of("id=1", "i%64=1", "id=2", "utm_x=1", "gclid=2", "utm%5fx=3", "x=1", "x=2", "", "a;id=2")
                .list()
                .ofMaxSize(3)
                .map(parameters -> parameters.isEmpty()
                        ? Optional.<String>empty()
                        : Optional.of(String.join("&", parameters)));
        Arbitrary<HeaderFields.FieldLine> host = Arbitraries
                .of("a.example", "A.example", "a.example:80", "a.example:443",
                        "a.example.", "b.example")
                .map(value -> new HeaderFields.FieldLine("Host", value));
        Arbitrary<String> name = Arbitraries.of("X-Forwarded-Host", "X_Forwarded_Host", "x.forwarded.host",
                "X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded-For", "X-Forwarded-Port", "Forwarded", "Via",
                "X-Original-URL", "x_original_url", "X-Rewrite-URL", "x-middleware-prefetch", "X_Middleware_Prefetch",
                "x-invoke-status", "x-now-route-matches", "x-nextjs-data", "X-Sendfile-Type", "X-Accel-Expires",
                "X-HTTP-Method-Override", "X_Http_Method", "X-Host", "X_Host", "X-Real-IP", "Range", "If-None-Match",
                "Content-Type", "Expect", "X-Device", "X_Device", "Cookie", "Accept", "X-Unknown", "Connection");
        Arbitrary<String> value = Arbitraries.of("http", "https", "a.example", "b.example", "1.2.3.4",
                "for=1.2.3.4;proto=https;host=b.example", "X-Device", "X_Forwarded_Host", "1");
        Arbitrary<List<HeaderFields.FieldLine>> fields = Combinators.combine(name, value)
                .as(HeaderFields.FieldLine::new)
                .list()
                .ofMaxSize(4);
        return Combinators
                .combine(path, query, Arbitraries.of("http", "https"), Arbitraries.of("192.0.2.1", "192.0.2.2"), host,
                        fields)
                .as((p, q, scheme, address, h, more) -> {
                    var lines = new ArrayList<>(more);
                    lines.add(h);
                    return new SentRequest(p, q, scheme, address, lines);
                });
    }

    private static ClientRequest request(Route route, SentRequest sent) {
        HeaderFields fields = HeaderFields.of(sent.fields);
        var connection = new Forwarding.ClientConnection(sent.address, sent.scheme,
                fields.firstValue("Host").orElse(""), "1.1");
        return ClientRequest.of(route, RequestHead.parse("GET", fields), new RequestTarget(sent.path, sent.query),
                Forwarding.effectiveClient(fields, connection, route.forwarding()), interim -> {},
                RequestTracing.RequestSpan.NONE);
    }

    private static String comparable(String name) {
        return name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "-");
    }

    /** Target, Host and forwarding fields. */
    private static List<String> decisiveParts(OriginRequest outgoing) {
        var decisive = new ArrayList<String>();
        decisive.add(outgoing.target());
        for (HeaderFields.FieldLine field : outgoing.fields()) {
            if (FORWARDING_FIELDS.contains(comparable(field.name())) || comparable(field.name()).equals("host")) {
                decisive.add(field.toString());
            }
        }
        return decisive;
    }

    @Property(tries = 20_000, edgeCases = EdgeCasesMode.NONE)
    void sameCacheKeyGivesTheSameOriginRequest(@ForAll("route") Route route, @ForAll("sent") SentRequest one,
            @ForAll("sent") SentRequest other) {
        ClientRequest first = request(route, one);
        // Half of the pairs differ in nothing but what should not count.
        for (SentRequest second : List.of(other,
                new SentRequest(one.path, one.query, one.scheme, other.address, other.fields))) {
            ClientRequest next = request(route, second);
            if (next.keys().cacheKey().equals(first.keys().cacheKey())) {
                assertThat(decisiveParts(next.toSharedRequest(HeaderFields.EMPTY, List.of())))
                        .isEqualTo(decisiveParts(first.toSharedRequest(HeaderFields.EMPTY, List.of())));
            }
        }
    }

    @Property(tries = 10_000, edgeCases = EdgeCasesMode.NONE)
    void steeringFieldIsNeverSentOnASharedFetch(@ForAll("route") Route route, @ForAll("sent") SentRequest sent) {
        OriginRequest outgoing = request(route, sent).toSharedRequest(HeaderFields.EMPTY, List.of());

        for (HeaderFields.FieldLine field : outgoing.fields()) {
            String name = comparable(field.name());
            boolean told = FORWARDING_FIELDS.contains(name) && name.equals(field.name().toLowerCase(Locale.ROOT));
            assertThat(told || STEERING_PREFIXES.stream().noneMatch(name::startsWith)).as(field.toString()).isTrue();
            assertThat(field.name()).doesNotContain("_");
        }
        assertThat(outgoing.fields().values("Host").size()).isLessThanOrEqualTo(1);
    }
}
