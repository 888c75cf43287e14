package dev.corral.edge;

import dev.corral.Application;
import dev.corral.coalesce.Purges;
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
@EdgeTest
class ElsewhereTest {

    private static StubOrigin own;
    private static StubOrigin elsewhere;
    private static Replica replica;

    @BeforeAll
    static void start(Fleet fleet) {
        own = new StubOrigin();
        elsewhere = new StubOrigin();
        var arguments = new ArrayList<String>();
        fleet.redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.replica-id=elsewhere",
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s"));
        route(arguments, 0, "client", "/c/**", own.url());
        arguments.add("--corral.routes[0].host=client");
        arguments.add("--corral.routes[0].forward.trust=true");
        route(arguments, 1, "based", "/b/**", own.url() + "/base");
        route(arguments, 2, "all", "/**", own.url());
        var run = new SpringApplicationBuilder(Application.class).run(arguments.toArray(String[]::new));
        Replica.until(() -> run.getBean(Purges.class).current());
        replica = new Replica(run, run.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
    }

    private static void route(List<String> arguments, int number, String id, String path, String origin) {
        String name = "--corral.routes[" + number + "].";
        arguments.addAll(List.of(name + "id=" + id, name + "path=" + path, name + "origin=" + origin));
    }

    @AfterAll
    static void stop() {
        replica.close();
        own.close();
        elsewhere.close();
    }

    /** Not a request, and not so much as a connection. */
    @AfterEach
    void nobodyElseWasSpokenTo() {
        assertThat(elsewhere.received()).isEmpty();
        assertThat(elsewhere.accepted()).isZero();
    }

    /** What the client sees of it; the connection is closed after one answer, or at once. */
    private static String send(String head) throws IOException {
        try (Client client = replica.connect()) {
            return client.send(head).untilClosed();
        }
    }

    /** What the own origin gets of it. */
    private static List<StubOrigin.Received> ask(String line, String... fields) throws IOException {
        int before = own.received().size();
        boolean hosted = Stream.of(fields).anyMatch(field -> field.startsWith("Host:"));
        String answer = send(line + " HTTP/1.1\r\n" + (hosted ? "" : "Host: client.example\r\n")
                + String.join("", Stream.of(fields).map(field -> field + "\r\n").toList())
                + "Connection: close\r\n\r\n");
        assertThat(answer).matches("(?s)HTTP/1\\.1 (200|400|404|501) .*");
        return List.copyOf(own.received().subList(before, own.received().size()));
    }

    private static void assertHome(List<StubOrigin.Received> received) {
        assertThat(received).allSatisfy(request -> {
            assertThat(request.target()).startsWith("/");
            assertThat(request.fields().all("Host")).hasSize(1);
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
    void aTargetIsAPathOfTheRoutesOriginOrNothing(String target) throws IOException {
        for (String method : List.of("GET", "POST", "OPTIONS", "PURGE")) {
            assertHome(ask(method + " " + target.replace("E", elsewhere.authority()), "Content-Length: 0"));
        }
    }

    /** Of the forms that are proper HTTP only the path counts (RFC 9112 section 3.2). */
    @Test
    void theAbsoluteFormsPathIsAsked() throws IOException {
        List<StubOrigin.Received> received = ask("GET http://" + elsewhere.authority() + "/absolute?q=1");

        assertThat(received).singleElement().satisfies(request -> {
            assertThat(request.target()).isEqualTo("/absolute?q=1");
            assertThat(request.field("Host")).isEqualTo(own.authority());
        });
    }

    /** What would be another address to a resolver of references stays a path, byte for byte. */
    @ParameterizedTest
    @ValueSource(strings = {"//E/x", "/@E/x", "/http://E/x", "/x;@E/", "/%2f%2fE/x", "/x%0d%0aHost:%20E"})
    void aPathThatLooksLikeAnAddressIsAPath(String target) throws IOException {
        String path = target.replace("E", elsewhere.authority());

        assertThat(ask("GET " + path)).singleElement().satisfies(request -> {
            assertThat(request.target()).isEqualTo(path);
            assertThat(request.field("Host")).isEqualTo(own.authority());
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
    void noFieldNamesAnotherOrigin(String field) throws IOException {
        String set = field.replace("E", elsewhere.authority());
        for (String path : List.of("/fields/" + field.hashCode(), "/c/fields/" + field.hashCode(), "/b/fields")) {
            assertHome(ask("GET " + path, set));
            assertHome(ask("POST " + path, set, "Content-Length: 0"));
        }
    }

    /** Only its name is the client's; where it is asked is not. */
    @Test
    void aHostThatIsPassedOnIsNotWhereTheRequestGoes() throws IOException {
        assertThat(ask("GET /c/host", "Host: " + elsewhere.authority())).singleElement()
                .satisfies(request -> assertThat(request.field("Host")).isEqualTo(elsewhere.authority()));
    }

    @Test
    void twoHostsAreRefused() throws IOException {
        assertThat(ask("GET /two", "Host: client.example", "Host: " + elsewhere.authority())).isEmpty();
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
    void noLineIsSmuggledIn(String raw) throws IOException {
        int before = own.received().size();

        send(raw.replace("E", elsewhere.authority()));

        assertHome(own.received().subList(before, own.received().size()));
        assertThat(own.received().subList(before, own.received().size())).allSatisfy(
                request -> assertThat(request.field("Host")).isEqualTo(own.authority()));
    }

    @ParameterizedTest
    @ValueSource(ints = {300, 301, 302, 303, 307, 308})
    void aRedirectionIsTheClientsToFollow(int status) throws IOException {
        String path = "/redirect/" + status;
        String location = elsewhere.url() + "/x";
        own.on(path, status, "", "Location", location, "Refresh", "0; url=" + location, "Link",
                "<" + location + ">; rel=preload", "Content-Location", location, "Cache-Control", "max-age=60");

        for (int round = 0; round < 2; round++) {
            Client.Answer answer = replica.get(path);

            assertThat(answer.status()).isEqualTo(status);
            assertThat(answer.field("Location")).isEqualTo(location);
        }
        assertThat(own.count(path)).isEqualTo(1);
    }

    /** RFC 9110 section 15.5.6 and others: an origin may name servers in more ways than one. */
    @Test
    void anAnswerToAChangeNamesNobodyToAsk() throws IOException {
        own.on("/changed", 201, "", "Location", elsewhere.url() + "/x", "Content-Location", elsewhere.url() + "/y",
                "Alt-Svc", "h2=\"" + elsewhere.authority() + "\"");

        assertThat(replica.ask("POST", "/changed", "Content-Length", "0").status()).isEqualTo(201);
    }
}
