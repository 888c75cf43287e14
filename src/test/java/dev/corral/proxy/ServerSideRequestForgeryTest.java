package dev.corral.proxy;

import dev.corral.CorralApplication;
import dev.corral.purge.PurgeRegistry;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.builder.SpringApplicationBuilder;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Nothing in a request, and nothing in an answer, changes whom this cache asks: the route's origin and nobody else. Beside that
 * origin stands another, on the same machine, which must never be spoken to.
 */
@ProxyTest
class ServerSideRequestForgeryTest {

    private static OriginStub routeOrigin;
    private static OriginStub otherOrigin;
    private static ReplicaUnderTest replica;

    @BeforeAll
    static void start(FleetUnderTest fleet) {
        routeOrigin = new OriginStub();
        otherOrigin = new OriginStub();
        var arguments = new ArrayList<String>();
        fleet.redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.replica-id=elsewhere",
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s"));
        addRoute(arguments, 0, "client", "/c/**", routeOrigin.url());
        arguments.add("--corral.routes[0].host=client");
        arguments.add("--corral.routes[0].forward.trust=true");
        addRoute(arguments, 1, "based", "/b/**", routeOrigin.url() + "/base");
        addRoute(arguments, 2, "all", "/**", routeOrigin.url());
        var run = new SpringApplicationBuilder(CorralApplication.class).run(arguments.toArray(String[]::new));
        ReplicaUnderTest.eventually(() -> run.getBean(PurgeRegistry.class).isUpToDate());
        replica = new ReplicaUnderTest(run,
                run.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
    }

    private static void addRoute(List<String> arguments, int number, String id, String path, String origin) {
        String name = "--corral.routes[" + number + "].";
        arguments.addAll(List.of(name + "id=" + id, name + "path=" + path, name + "origin=" + origin));
    }

    @AfterAll
    static void stop() {
        replica.close();
        routeOrigin.close();
        otherOrigin.close();
    }

    /** Not a request, and not so much as a connection. */
    @AfterEach
    void assertOtherOriginWasNotContacted() {
        assertThat(otherOrigin.receivedRequests()).isEmpty();
        assertThat(otherOrigin.acceptedConnections()).isZero();
    }

    /** What the client sees of it; the connection is closed after one answer, or at once. */
    private static String send(String head) throws IOException {
        try (HttpProbe client = replica.connect()) {
            return client.send(head).readUntilClosed();
        }
    }

    /** What the own origin gets of it. */
    private static List<OriginStub.ReceivedRequest> requestsForwardedFor(String line, String... fields)
            throws IOException {
        int before = routeOrigin.receivedRequests().size();
        boolean hosted = Stream.of(fields).anyMatch(field -> field.startsWith("Host:"));
        String answer = send(line + " HTTP/1.1\r\n" + (hosted ? "" : "Host: client.example\r\n")
                + String.join("", Stream.of(fields).map(field -> field + "\r\n").toList())
                + "Connection: close\r\n\r\n");
        assertThat(answer).matches("(?s)HTTP/1\\.1 (200|400|404|501) .*");
        return List.copyOf(routeOrigin.receivedRequests().subList(before, routeOrigin.receivedRequests().size()));
    }

    private static void assertSentToRouteOrigin(List<OriginStub.ReceivedRequest> received) {
        assertThat(received).allSatisfy(request -> {
            assertThat(request.target()).startsWith("/");
            assertThat(request.fields().values("Host")).hasSize(1);
        });
    }

    /** {@code E} stands for the other server's host and port. */
    static Stream<String> targets() {
        return Stream.of("http://E/x", "http://E", "HTTP://E/x", "https://E/x", "http://user@E/x", "http://user:pw@E/x",
                "http://client.example@E/x", "http://E#@client.example/x", "http://E/../x", "http:E/x", "http:/E/x",
                "ftp://E/x", "file:///etc/passwd", "//E/x", "///E/x", "//user@E/x", "/\\E/x", "\\\\E\\x", "/\\/E/x",
                "@E/x", "/@E/x", "/x@E/", ":80@E/x", "/:@E/x", ".E/x", "E/x", "E", "?@E/x", "/?@E/x", "/?x=http://E/",
                "#@E/x", "/#@E/x", "/x;@E/", "/..//E/x", "/../../E/x", "/x/..//E/x", "/%2f%2fE/x", "/%2F..%2F..%2FE",
                "/%2e%2e/%2f/E/x", "/.%2e//E", "/%5cE/x", "/%40E/x", "/%00@E/x", "/x%00http://E/", "/http://E/x",
                "/x/http:%2f%2fE/", "/x%0d%0aHost:%20E%0d%0a", "/x%20HTTP/1.1%0d%0aHost:%20E",
                "/x%E5%98%8D%E5%98%8AHost:E",
                "/b//E/x", "/b/..//E/x", "/b/@E/x", "/b/%2f..%2f..%2f@E", "/c//E/x", "/c/@E/x", "http://E/c/x",
                "http://E/b/x", "*", "");
    }

    @ParameterizedTest
    @MethodSource("targets")
    void targetReachesTheRouteOriginOrNothing(String target) throws IOException {
        for (String method : List.of("GET", "POST", "OPTIONS", "PURGE")) {
            assertSentToRouteOrigin(requestsForwardedFor(method + " " + target.replace("E", otherOrigin.authority()),
                    "Content-Length: 0"));
        }
    }

    /** Of the forms that are proper HTTP only the path counts (RFC 9112 section 3.2). */
    @Test
    void absoluteFormPathIsSentToTheRouteOrigin() throws IOException {
        List<OriginStub.ReceivedRequest> received = requestsForwardedFor(
                "GET http://" + otherOrigin.authority() + "/absolute?q=1");

        assertThat(received).singleElement().satisfies(request -> {
            assertThat(request.target()).isEqualTo("/absolute?q=1");
            assertThat(request.field("Host")).isEqualTo(routeOrigin.authority());
        });
    }

    /** What would be another address to a resolver of references stays a path, byte for byte. */
    @ParameterizedTest
    @ValueSource(strings = {"//E/x", "/@E/x", "/http://E/x", "/x;@E/", "/%2f%2fE/x", "/x%0d%0aHost:%20E"})
    void pathThatLooksLikeAnAuthorityStaysAPath(String target) throws IOException {
        String path = target.replace("E", otherOrigin.authority());

        assertThat(requestsForwardedFor("GET " + path)).singleElement().satisfies(request -> {
            assertThat(request.target()).isEqualTo(path);
            assertThat(request.field("Host")).isEqualTo(routeOrigin.authority());
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"Host: E", "Host: user@E", "Host: E/x", "Host: client.example@E", "Host: client.example, E",
            "Host: client.example E", "Host: E#", "Host:", "Host: http://E/", "X-Forwarded-Host: E",
            "X-Forwarded-Server: E", "X-Host: E", "X-Original-URL: http://E/x", "X-Rewrite-URL: http://E/x",
            "X-Forwarded-Host: E, client.example", "Forwarded: host=\"E\";proto=http", "Forwarded: for=E;host=E",
            "X-Forwarded-Proto: http://E/", "X-Forwarded-Prefix: //E", "X-Forwarded-Port: 1@E", "Referer: http://E/",
            "Origin: http://E", "Destination: http://E/x", "Content-Location: http://E/x", "Proxy: http://E/",
            "X-Real-IP: E", "Connection: Host", "Upgrade: h2c"})
    void requestFieldCannotSelectAnotherOrigin(String field) throws IOException {
        String set = field.replace("E", otherOrigin.authority());
        for (String path : List.of("/fields/" + field.hashCode(), "/c/fields/" + field.hashCode(), "/b/fields")) {
            assertSentToRouteOrigin(requestsForwardedFor("GET " + path, set));
            assertSentToRouteOrigin(requestsForwardedFor("POST " + path, set, "Content-Length: 0"));
        }
    }

    /** Only its name is the client's; where it is asked is not. */
    @Test
    void preservedHostDoesNotSelectTheOrigin() throws IOException {
        assertThat(requestsForwardedFor("GET /c/host", "Host: " + otherOrigin.authority())).singleElement()
                .satisfies(request -> assertThat(request.field("Host")).isEqualTo(otherOrigin.authority()));
    }

    @Test
    void requestWithTwoHostsIsRejected() throws IOException {
        assertThat(requestsForwardedFor("GET /two", "Host: client.example", "Host: " + otherOrigin.authority()))
                .isEmpty();
    }

    /** A bare carriage return, or a line of its own, in what the client sends begins nothing on the way to the origin. */
    @ParameterizedTest
    @ValueSource(strings = {"GET /crlf\rHost: E HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /crlf\nHost: E\n\nGET http://E/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /crlf HTTP/1.1\r\nHost: a\r\nX-A: b\rHost: E\r\nConnection: close\r\n\r\n",
            "GET /crlf HTTP/1.1\r\nHost: a\r\nX-A: b\r\n Host: E\r\nConnection: close\r\n\r\n",
            "GET /crlf HTTP/1.1\r\nHost : E\r\nConnection: close\r\n\r\n",
            "GET /crlf HTTP/1.1\r\nHost: a\r\nX-A\r\n: E\r\nConnection: close\r\n\r\n",
            "GET /crlf\u0000@E HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"})
    void injectedLineIsNotForwarded(String raw) throws IOException {
        int before = routeOrigin.receivedRequests().size();

        send(raw.replace("E", otherOrigin.authority()));

        assertSentToRouteOrigin(routeOrigin.receivedRequests().subList(before, routeOrigin.receivedRequests().size()));
        assertThat(routeOrigin.receivedRequests().subList(before, routeOrigin.receivedRequests().size())).allSatisfy(
                request -> assertThat(request.field("Host")).isEqualTo(routeOrigin.authority()));
    }

    @ParameterizedTest
    @ValueSource(ints = {300, 301, 302, 303, 307, 308})
    void redirectIsPassedOnAndNotFollowed(int status) throws IOException {
        String path = "/redirect/" + status;
        String location = otherOrigin.url() + "/x";
        routeOrigin.on(path, status, "", "Location", location, "Refresh", "0; url=" + location, "Link",
                "<" + location + ">; rel=preload", "Content-Location", location, "Cache-Control", "max-age=60");

        for (int round = 0; round < 2; round++) {
            HttpProbe.ProbeResponse answer = replica.get(path);

            assertThat(answer.status()).isEqualTo(status);
            assertThat(answer.field("Location")).isEqualTo(location);
        }
        assertThat(routeOrigin.requestCount(path)).isEqualTo(1);
    }

    /** RFC 9110 section 15.5.6 and others: an origin may name servers in more ways than one. */
    @Test
    void fieldsOfAPostResponseCauseNoFurtherRequest() throws IOException {
        routeOrigin.on("/changed", 201, "", "Location", otherOrigin.url() + "/x", "Content-Location",
                otherOrigin.url() + "/y",
                "Alt-Svc", "h2=\"" + otherOrigin.authority() + "\"");

        assertThat(replica.request("POST", "/changed", "Content-Length", "0").status()).isEqualTo(201);
    }
}
