package dev.corral.edge;

import java.io.IOException;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Which origin gets a request, if any, and how it gets it. */
@EdgeTest
class RoutingTest {

    private final Fleet fleet;

    RoutingTest(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void theFirstRouteThatMatchesWins() throws IOException {
        String special = fleet.path("ordered/special", "x");
        String other = fleet.path("ordered", "x");

        fleet.a.get(special);
        fleet.a.get(other);

        assertThat(fleet.origin.count("/special" + special)).isEqualTo(1);
        assertThat(fleet.origin.count(special)).isZero();
        assertThat(fleet.origin.count(other)).isEqualTo(1);
    }

    @Test
    void aBasePathGoesBeforeTheRequests() throws IOException {
        String path = fleet.path("based", "x");

        fleet.a.get(path + "?q=%2F");

        assertThat(fleet.origin.last("/base" + path).target()).isEqualTo("/base" + path + "?q=%2F");
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "HEAD", "POST", "OPTIONS", "PURGE"})
    void withoutARouteThereIsNothing(String method) throws IOException {
        Client.Answer answer = fleet.a.ask(method, "/nowhere/" + method);

        assertThat(answer.status()).isEqualTo(404);
        assertThat(answer.field("Content-Type")).isEqualTo("application/problem+json");
        assertThat(answer.field("Cache-Status")).isEqualTo("Corral; fwd=bypass; detail=no-route");
        assertThat(answer.field("Cache-Control")).isEqualTo("no-store");
        if (!method.equals("HEAD")) {
            assertThat(answer.reason()).isEqualTo("no-route");
            assertThat(answer.text()).contains("\"status\":404", "\"title\":\"Not Found\"").doesNotContain("127.0.0.1");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"TRACE /t/trace", "CONNECT /t/connect", "CONNECT shop.example:443", "TRACE /nowhere",
            "CONNECT /nowhere"})
    void traceAndConnectAreRefused(String request) throws IOException {
        try (Client client = fleet.a.connect()) {
            Client.Answer answer = client.send(request + " HTTP/1.1\r\nHost: shop.example:443\r\n\r\n").read();

            assertThat(answer.status()).isIn(400, 501);
            assertThat(fleet.origin.received()).noneMatch(received -> request.startsWith(received.method()));
        }
    }

    @Test
    void aRefusedMethodIsNamed() throws IOException {
        Client.Answer answer = fleet.a.ask("TRACE", fleet.path("trace"));

        assertThat(answer.status()).isEqualTo(501);
        assertThat(answer.reason()).isEqualTo("method-refused");
    }

    /** RFC 9110 section 7.8: this cache speaks nothing else on a connection, and says so rather than hanging up later. */
    @Test
    void aWebSocketIsRefused() throws IOException {
        String path = fleet.path("socket");

        Client.Answer answer = fleet.a.get(path, "Connection", "keep-alive, Upgrade", "Upgrade", "websocket",
                "Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw==", "Sec-WebSocket-Version", "13");

        assertThat(answer.status()).isEqualTo(501);
        assertThat(answer.reason()).isEqualTo("upgrade-refused");
        assertThat(fleet.origin.count(path)).isZero();
    }

    @Test
    void aPreflightIsTheOriginsToAnswer() throws IOException {
        String path = fleet.path("cors");
        fleet.origin.on(path, 204, "", "Access-Control-Allow-Origin", "https://app.example",
                "Access-Control-Allow-Methods", "PUT");

        Client.Answer answer = fleet.a.ask("OPTIONS", path, "Origin", "https://app.example",
                "Access-Control-Request-Method", "PUT");

        assertThat(answer.status()).isEqualTo(204);
        assertThat(answer.field("Access-Control-Allow-Methods")).isEqualTo("PUT");
        assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=method; fwd-status=204");
        assertThat(fleet.origin.last(path).field("Origin")).isEqualTo("https://app.example");
    }

    @ParameterizedTest
    @ValueSource(strings = {"OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "M-SEARCH", "get", "FOO"})
    void everyOtherMethodIsTheOriginsToAnswer(String method) throws IOException {
        String path = fleet.path("method");
        fleet.origin.on(path,
                exchange -> exchange.answer(200, method + ":" + exchange.text(), "Cache-Control", "max-age=60"));

        for (int round = 0; round < 2; round++) {
            try (Client client = fleet.a.connect()) {
                Client.Answer answer = client.request(method, path, "Content-Length", "5").send("hello").read();

                assertThat(answer.text()).isEqualTo(method + ":hello");
                assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=method; fwd-status=200");
            }
        }

        assertThat(fleet.origin.received(path)).extracting(StubOrigin.Received::method).containsExactly(method, method);
    }

    /** The origin may be a cache that trusts this one's address; purges are asked for on the management port. */
    @ParameterizedTest
    @ValueSource(strings = {"PURGE", "BAN", "REFRESH", "purge", "Ban", "PURGEALL", "SOFTPURGE", "BANURL", "FULLBAN"})
    void anOrderToACacheDoesNotReachTheOriginUnlessTheRouteAllowsIt(String method) throws IOException {
        String path = fleet.path("orders");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
        fleet.a.store(path);

        Client.Answer answer = fleet.a.ask(method, path, "Content-Length", "0");

        assertThat(answer.status()).isEqualTo(501);
        assertThat(answer.reason()).isEqualTo("method-refused");
        assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=method; detail=method-refused");
        assertThat(fleet.origin.received(path)).extracting(StubOrigin.Received::method).containsExactly("GET");
        assertThat(fleet.a.get(path).hit()).isTrue();

        String allowed = fleet.path("orders-allowed", "x");
        fleet.origin.on(allowed, exchange -> exchange.answer(200, exchange.request.method()));
        boolean named = !method.toUpperCase(Locale.ROOT).startsWith("FULL");
        assertThat(fleet.a.ask(method, allowed, "Content-Length", "0").status()).isEqualTo(named ? 200 : 501);
        assertThat(fleet.origin.count(allowed)).isEqualTo(named ? 1 : 0);
    }

    /** RFC 9110 section 9.3.1: a GET with a body has no meaning a cache knows. */
    @Test
    void aGetWithABodyIsTheOriginsToAnswer() throws IOException {
        String path = fleet.path("search");
        fleet.origin.on(path, exchange -> exchange.answer(200, exchange.text(), "Cache-Control", "max-age=60"));

        for (String query : List.of("one", "two")) {
            try (Client client = fleet.a.connect()) {
                Client.Answer answer = client.request("GET", path, "Content-Length", "3").send(query).read();
                assertThat(answer.text()).isEqualTo(query);
                assertThat(answer.cacheStatus()).startsWith("Corral; fwd=bypass");
            }
            try (Client client = fleet.a.connect()) {
                Client.Answer answer = client.request("GET", path, "Transfer-Encoding", "chunked")
                        .send("3\r\n" + query + "\r\n0\r\nX-Trailer: dropped\r\n\r\n")
                        .read();
                assertThat(answer.text()).isEqualTo(query);
            }
        }

        assertThat(fleet.origin.count(path)).isEqualTo(4);
    }
}
