package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Which origin gets a request, if any, and how it gets it. */
@ProxyTest
class RoutingTest {

    private final FleetUnderTest fleet;

    RoutingTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @Test
    void firstMatchingRouteWins() throws IOException {
        String special = fleet.uniquePath("ordered/special", "x");
        String other = fleet.uniquePath("ordered", "x");

        fleet.a.get(special);
        fleet.a.get(other);

        assertThat(fleet.origin.requestCount("/special" + special)).isEqualTo(1);
        assertThat(fleet.origin.requestCount(special)).isZero();
        assertThat(fleet.origin.requestCount(other)).isEqualTo(1);
    }

    @Test
    void basePathIsPrependedToTheRequestPath() throws IOException {
        String path = fleet.uniquePath("based", "x");

        fleet.a.get(path + "?q=%2F");

        assertThat(fleet.origin.lastRequest("/base" + path).target()).isEqualTo("/base" + path + "?q=%2F");
    }

    @ParameterizedTest
    @ValueSource(strings = {"GET", "HEAD", "POST", "OPTIONS", "PURGE"})
    void requestWithoutRouteIsNotFound(String method) throws IOException {
        HttpProbe.ProbeResponse answer = fleet.a.request(method, "/nowhere/" + method);

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
    void traceAndConnectAreRejected(String request) throws IOException {
        try (HttpProbe client = fleet.a.connect()) {
            HttpProbe.ProbeResponse answer = client.send(request + " HTTP/1.1\r\nHost: shop.example:443\r\n\r\n")
                    .read();

            assertThat(answer.status()).isIn(400, 501);
            assertThat(fleet.origin.receivedRequests()).noneMatch(received -> request.startsWith(received.method()));
        }
    }

    @Test
    void rejectedMethodHasReason() throws IOException {
        HttpProbe.ProbeResponse answer = fleet.a.request("TRACE", fleet.uniquePath("trace"));

        assertThat(answer.status()).isEqualTo(501);
        assertThat(answer.reason()).isEqualTo("method-refused");
    }

    /** RFC 9110 section 7.8: this cache speaks nothing else on a connection, and says so rather than hanging up later. */
    @Test
    void webSocketUpgradeIsRejected() throws IOException {
        String path = fleet.uniquePath("socket");

        HttpProbe.ProbeResponse answer = fleet.a.get(path, "Connection", "keep-alive, Upgrade", "Upgrade", "websocket",
                "Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw==", "Sec-WebSocket-Version", "13");

        assertThat(answer.status()).isEqualTo(501);
        assertThat(answer.reason()).isEqualTo("upgrade-refused");
        assertThat(fleet.origin.requestCount(path)).isZero();
    }

    @Test
    void corsPreflightIsForwardedToTheOrigin() throws IOException {
        String path = fleet.uniquePath("cors");
        fleet.origin.on(path, 204, "", "Access-Control-Allow-Origin", "https://app.example",
                "Access-Control-Allow-Methods", "PUT");

        HttpProbe.ProbeResponse answer = fleet.a.request("OPTIONS", path, "Origin", "https://app.example",
                "Access-Control-Request-Method", "PUT");

        assertThat(answer.status()).isEqualTo(204);
        assertThat(answer.field("Access-Control-Allow-Methods")).isEqualTo("PUT");
        assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=method; fwd-status=204");
        assertThat(fleet.origin.lastRequest(path).field("Origin")).isEqualTo("https://app.example");
    }

    @ParameterizedTest
    @ValueSource(strings = {"OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "M-SEARCH", "get", "FOO"})
    void otherMethodIsForwardedToTheOrigin(String method) throws IOException {
        String path = fleet.uniquePath("method");
        fleet.origin.on(path,
                exchange -> exchange.respond(200, method + ":" + exchange.bodyText(), "Cache-Control", "max-age=60"));

        for (int round = 0; round < 2; round++) {
            try (HttpProbe client = fleet.a.connect()) {
                HttpProbe.ProbeResponse answer = client.request(method, path, "Content-Length", "5")
                        .send("hello")
                        .read();

                assertThat(answer.text()).isEqualTo(method + ":hello");
                assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=method; fwd-status=200");
            }
        }

        assertThat(fleet.origin.receivedRequests(path)).extracting(OriginStub.ReceivedRequest::method)
                .containsExactly(method, method);
    }

    /** The origin may be a cache that trusts this one's address; purges are asked for on the management port. */
    @ParameterizedTest
    @ValueSource(strings = {"PURGE", "BAN", "REFRESH", "purge", "Ban", "PURGEALL", "SOFTPURGE", "BANURL", "FULLBAN"})
    void purgeMethodIsRejectedUnlessTheRouteAllowsIt(String method) throws IOException {
        String path = fleet.uniquePath("orders");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path);

        HttpProbe.ProbeResponse answer = fleet.a.request(method, path, "Content-Length", "0");

        assertThat(answer.status()).isEqualTo(501);
        assertThat(answer.reason()).isEqualTo("method-refused");
        assertThat(answer.cacheStatus()).isEqualTo("Corral; fwd=method; detail=method-refused");
        assertThat(fleet.origin.receivedRequests(path)).extracting(OriginStub.ReceivedRequest::method)
                .containsExactly("GET");
        assertThat(fleet.a.get(path).isHit()).isTrue();

        String allowed = fleet.uniquePath("orders-allowed", "x");
        fleet.origin.on(allowed, exchange -> exchange.respond(200, exchange.request.method()));
        boolean named = !method.toUpperCase(Locale.ROOT).startsWith("FULL");
        assertThat(fleet.a.request(method, allowed, "Content-Length", "0").status()).isEqualTo(named ? 200 : 501);
        assertThat(fleet.origin.requestCount(allowed)).isEqualTo(named ? 1 : 0);
    }

    /** RFC 9110 section 9.3.1: a GET with a body has no meaning a cache knows. */
    @Test
    void getWithBodyIsForwardedToTheOrigin() throws IOException {
        String path = fleet.uniquePath("search");
        fleet.origin.on(path, exchange -> exchange.respond(200, exchange.bodyText(), "Cache-Control", "max-age=60"));

        for (String query : List.of("one", "two")) {
            try (HttpProbe client = fleet.a.connect()) {
                HttpProbe.ProbeResponse answer = client.request("GET", path, "Content-Length", "3").send(query).read();
                assertThat(answer.text()).isEqualTo(query);
                assertThat(answer.cacheStatus()).startsWith("Corral; fwd=bypass");
            }
            try (HttpProbe client = fleet.a.connect()) {
                HttpProbe.ProbeResponse answer = client.request("GET", path, "Transfer-Encoding", "chunked")
                        .send("3\r\n" + query + "\r\n0\r\nX-Trailer: dropped\r\n\r\n")
                        .read();
                assertThat(answer.text()).isEqualTo(query);
            }
        }

        assertThat(fleet.origin.requestCount(path)).isEqualTo(4);
    }
}
