package dev.corral.edge;

import dev.corral.http.Asked;
import dev.corral.http.CacheKey.QueryRule;
import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.Policy;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.http.RequestHeaderPolicy.Mode;
import dev.corral.http.RequestTarget;
import dev.corral.origin.Origin;
import dev.corral.origin.OriginNames;
import dev.corral.origin.Outgoing;
import dev.corral.origin.Upstream;
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
class OneKeyOneRequestTest {

    private static final Upstream UPSTREAM = new Upstream("shop", URI.create("http://origin.example/base"),
            Duration.ofSeconds(1), DataSize.ofKilobytes(1), 25, Duration.ofMinutes(1), Optional.empty());

    /** Never asked. */
    private static final Origin ORIGIN = new Origin(UPSTREAM, "/",
            CircuitBreaker.of("shop", CircuitBreakerConfig.custom()
                    .slidingWindow(100, 100, SlidingWindowType.COUNT_BASED,
                            SlidingWindowSynchronizationStrategy.LOCK_FREE)
                    .build()),
            Bulkhead.ofDefaults("shop"), new OriginNames(), Clock.systemUTC());

    /** One client's request: what it sends, and how it is connected. */
    record Sent(String path, Optional<String> query, String scheme, String address, List<Fields.Field> fields) {}

    private static final Set<String> TOLD = Set.of("via", "forwarded", "x-forwarded-proto", "x-forwarded-host");

    /** As the issue names the families; an oracle of its own, not the one under test. */
    private static final List<String> STEERING = List.of("x-forwarded", "x-original-", "x-rewrite-", "x-middleware-",
            "x-invoke-", "x-now-", "x-nextjs-", "x-sendfile", "x-accel-", "x-http-", "x-host", "x-real-ip", "range",
            "if-", "content-", "expect");

    private static Route route(Route.HostRule host, boolean trust, QueryRule query, List<String> keyed, Mode mode) {
        var headers = new RequestHeaderPolicy(mode, Set.copyOf(keyed), Set.of(), Set.of());
        return new Route("shop", PathPatternParser.defaultInstance.parse("/**"), UPSTREAM, ORIGIN, host,
                new Forwarding.Rules("corral", trust, host instanceof Route.HostRule.OfClient, headers), query, keyed,
                Policy.DEFAULT, Set.of(), Duration.ofSeconds(1));
    }

    private static final List<Route> ROUTES = Stream
            .of(new Route.HostRule.OfOrigin(), new Route.HostRule.OfClient(), new Route.HostRule.Literal("shop"))
            .flatMap(host -> Stream.of(true, false)
                    .flatMap(trust -> Stream
                            .of(QueryRule.ALL, new QueryRule(List.of(), List.of("utm")),
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
    Arbitrary<Sent> sent() {
        Arbitrary<String> path = Arbitraries.of("/a", "/%61", "/a/", "/./a", "/b/../a", "/a%2f", "/a%2F", "/\u00e9",
                "/|");
        Arbitrary<Optional<String>> query = Arbitraries
                .of("id=1", "i%64=1", "id=2", "utm_x=1", "gclid=2", "utm%5fx=3", "x=1", "x=2", "", "a;id=2")
                .list()
                .ofMaxSize(3)
                .map(parameters -> parameters.isEmpty()
                        ? Optional.<String>empty()
                        : Optional.of(String.join("&", parameters)));
        Arbitrary<Fields.Field> host = Arbitraries.of("a.example", "A.example", "a.example:80", "a.example:443",
                "a.example.", "b.example").map(value -> new Fields.Field("Host", value));
        Arbitrary<String> name = Arbitraries.of("X-Forwarded-Host", "X_Forwarded_Host", "x.forwarded.host",
                "X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded-For", "X-Forwarded-Port", "Forwarded", "Via",
                "X-Original-URL", "x_original_url", "X-Rewrite-URL", "x-middleware-prefetch", "X_Middleware_Prefetch",
                "x-invoke-status", "x-now-route-matches", "x-nextjs-data", "X-Sendfile-Type", "X-Accel-Expires",
                "X-HTTP-Method-Override", "X_Http_Method", "X-Host", "X_Host", "X-Real-IP", "Range", "If-None-Match",
                "Content-Type", "Expect", "X-Device", "X_Device", "Cookie", "Accept", "X-Unknown", "Connection");
        Arbitrary<String> value = Arbitraries.of("http", "https", "a.example", "b.example", "1.2.3.4",
                "for=1.2.3.4;proto=https;host=b.example", "X-Device", "X_Forwarded_Host", "1");
        Arbitrary<List<Fields.Field>> fields = Combinators.combine(name, value)
                .as(Fields.Field::new)
                .list()
                .ofMaxSize(4);
        return Combinators
                .combine(path, query, Arbitraries.of("http", "https"), Arbitraries.of("192.0.2.1", "192.0.2.2"), host,
                        fields)
                .as((p, q, scheme, address, h, more) -> {
                    var lines = new ArrayList<>(more);
                    lines.add(h);
                    return new Sent(p, q, scheme, address, lines);
                });
    }

    private static Request request(Route route, Sent sent) {
        Fields fields = Fields.of(sent.fields);
        var connection = new Forwarding.From(sent.address, sent.scheme, fields.first("Host").orElse(""), "1.1");
        return Request.of(route, Asked.parse("GET", fields), new RequestTarget(sent.path, sent.query),
                Forwarding.seen(fields, connection, route.forwarding()), interim -> {}, Tracing.Trace.NONE);
    }

    private static String comparable(String name) {
        return name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "-");
    }

    /** Target, Host and forwarding fields. */
    private static List<String> decisive(Outgoing outgoing) {
        var decisive = new ArrayList<String>();
        decisive.add(outgoing.target());
        for (Fields.Field field : outgoing.fields()) {
            if (TOLD.contains(comparable(field.name())) || comparable(field.name()).equals("host")) {
                decisive.add(field.toString());
            }
        }
        return decisive;
    }

    @Property(tries = 20_000, edgeCases = EdgeCasesMode.NONE)
    void oneKeyIsOneRequest(@ForAll("route") Route route, @ForAll("sent") Sent one, @ForAll("sent") Sent other) {
        Request first = request(route, one);
        // Half of the pairs differ in nothing but what should not count.
        for (Sent second : List.of(other, new Sent(one.path, one.query, one.scheme, other.address, other.fields))) {
            Request next = request(route, second);
            if (next.address().text().equals(first.address().text())) {
                assertThat(decisive(next.shared(Fields.NONE, List.of())))
                        .isEqualTo(decisive(first.shared(Fields.NONE, List.of())));
            }
        }
    }

    @Property(tries = 10_000, edgeCases = EdgeCasesMode.NONE)
    void nothingThatSteersIsSent(@ForAll("route") Route route, @ForAll("sent") Sent sent) {
        Outgoing outgoing = request(route, sent).shared(Fields.NONE, List.of());

        for (Fields.Field field : outgoing.fields()) {
            String name = comparable(field.name());
            boolean told = TOLD.contains(name) && name.equals(field.name().toLowerCase(Locale.ROOT));
            assertThat(told || STEERING.stream().noneMatch(name::startsWith)).as(field.toString()).isTrue();
            assertThat(field.name()).doesNotContain("_");
        }
        assertThat(outgoing.fields().all("Host").size()).isLessThanOrEqualTo(1);
    }
}
