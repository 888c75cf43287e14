package dev.corral.proxy;

import dev.corral.http.HeaderFields;
import dev.corral.proxy.observe.Slf4jAccessLog;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Thousands of requests that are nearly proper, on both ports: each is read exactly as RFC 9112 says ({@link Rfc9112RequestParser} reads the same
 * bytes), or is refused and ends its connection. A seed that fails is printed and can be run alone.
 */
@ProxyTest
@Timeout(300)
class RequestParsingFuzzTest {

    private static final int SEEDS = Integer.getInteger("corral.seeds", 240);
    private static final int BATCH_SIZE = 30;

    /** Longer than any of these requests takes: who has said nothing until then waits for more. */
    private static final int SILENCE_MILLIS = 400;

    /** What is put in, or in the place of something: the signs by which servers part requests. */
    private static final List<String> FRAGMENTS = List.of("\r", "\n", "\r\n", "\r\n\r\n", "\n\n", " ", "\t", "\0",
            "\u000b", "\f",
            "\u0001", "\u007f", "\u0080", "\u0085", "\u00a0", "\u00ff", ":", " :", ";", ",", "\"", "\\", "=", "#", "?",
            "0", "1", "5", "a", "A", "f", "x", "0x", "+", "-", "00", "_", "%", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0",
            "GET",
            "Host: b\r\n", "Host: a\r\n", "Host:\r\n", "host : b\r\n", "Content-Length: 3\r\n", "Content-Length: 0\r\n",
            "Content-Length: 3, 3\r\n", "Content-Length : 3\r\n", "Content_Length: 3\r\n", "Content-Length:\t3 \r\n",
            "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: Chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n", "Transfer-Encoding:\u000bchunked\r\n", "Transfer_Encoding: chunked\r\n",
            "Transfer-Encoding\t: chunked\r\n", "X: y\r\n folded\r\n", " folded: z\r\n", "X: y\nZ: w\r\n", "X\r\n",
            "3\r\nabc\r\n", "3;a=b\r\nabc\r\n", "3;a=\"\r\n\"\r\nabc\r\n", "3 ;a\r\nabc\r\n", " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "0\r\n\r\n", "0\r\nX: y\r\n\r\n", "0;a\r\n\r\n", "00\r\n\r\n", "FFFFFFFFF\r\n", "-1\r\n", "http://b", "//");

    private static ReplicaUnderTest replica;

    private final FleetUnderTest fleet;

    RequestParsingFuzzTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @BeforeAll
    static void start(FleetUnderTest fleet) {
        replica = fleet.startExtra("both-ports", "management.server.port=0", "corral.management.users[0].name=ops",
                "corral.management.users[0].password=secret");
    }

    @AfterAll
    static void stop() {
        replica.close();
    }

    /** Two or three requests that are proper, in bytes, before they are changed. */
    private static String validRequests(Random random, String path) {
        var text = new StringBuilder();
        int count = 2 + random.nextInt(2);
        for (int i = 0; i < count; i++) {
            String method = List.of("POST", "GET", "PUT").get(random.nextInt(3));
            text.append(method).append(' ').append(path).append(" HTTP/1.1\r\nHost: a\r\n");
            switch (random.nextInt(4)) {
                case 0 -> text.append("\r\n");
                case 1 -> text.append("Content-Length: 5\r\nX-A: b\r\n\r\nhello");
                case 2 -> text.append("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
                default -> text.append("X-A: b\r\nContent-Length: 0\r\n\r\n");
            }
        }
        return text.toString();
    }

    private static byte[] mutated(long seed, String path) {
        var random = new Random(seed);
        var text = new StringBuilder(validRequests(random, path));
        int changes = 1 + random.nextInt(2);
        for (int i = 0; i < changes; i++) {
            int where = random.nextInt(text.length());
            if (random.nextInt(3) == 0) {
                // At the beginning of a line is where it counts.
                where = Math.min(text.length() - 1, Math.max(0, text.indexOf("\n", where) + 1));
            }
            String piece = FRAGMENTS.get(random.nextInt(FRAGMENTS.size()));
            switch (random.nextInt(3)) {
                case 0 -> text.insert(where, piece);
                case 1 -> text.replace(where, Math.min(text.length(), where + piece.length()), piece);
                default -> text.deleteCharAt(where);
            }
        }
        return text.toString().getBytes(StandardCharsets.ISO_8859_1);
    }

    /** All that came until the other side closed the connection or fell silent. */
    private static String exchange(int port, byte[] bytes) throws IOException {
        try (var client = new HttpProbe(port)) {
            try {
                client.send(bytes);
            } catch (IOException reset) {
                // Refused before all of it was taken.
            }
            return client.readUntilSilent(SILENCE_MILLIS);
        }
    }

    private record ParsedResponse(int status, HeaderFields fields, String body) {

        boolean closesConnection() {
            return fields.firstValue("Connection").filter("close"::equals).isPresent();
        }

        boolean isRejection() {
            return status >= 400 && closesConnection();
        }
    }

    private static final Pattern RESPONSE_HEAD = Pattern.compile("HTTP/1\\.[01] (\\d{3})[^\r]*\r\n(.*?)\r\n\r\n",
            Pattern.DOTALL);

    private static List<ParsedResponse> parseResponses(String text) {
        var responses = new ArrayList<ParsedResponse>();
        int at = 0;
        Matcher head = RESPONSE_HEAD.matcher(text);
        while (at < text.length() && head.find(at) && head.start() == at) {
            HeaderFields fields = HeaderFields.EMPTY;
            for (String line : head.group(2).split("\r\n", -1)) {
                int colon = line.indexOf(':');
                fields = fields.plus(line.substring(0, colon), line.substring(colon + 1).strip());
            }
            int length = fields.firstValue("Content-Length").map(Integer::parseInt).orElse(0);
            int end = Math.min(text.length(), head.end() + length);
            responses.add(
                    new ParsedResponse(Integer.parseInt(head.group(1), 10), fields, text.substring(head.end(), end)));
            at = end;
        }
        assertThat(text.substring(at)).as("a response that is none").isEmpty();
        return responses;
    }

    private String checkDataPort(long seed) throws IOException {
        // The same for all: what is changed of a request is by the seed alone.
        String path = "/t/ambiguous";
        fleet.origin.on(path, exchange -> {
            String text = new String(exchange.body().readAllBytes(), StandardCharsets.ISO_8859_1);
            exchange.respond(200,
                    exchange.request.method() + " " + exchange.request.target() + " " + text.length() + " "
                            + text.hashCode(),
                    "Cache-Control", "no-store");
        });
        byte[] bytes = mutated(seed, path);
        Rfc9112RequestParser.ParseResult reading = Rfc9112RequestParser.parse(bytes);

        List<ParsedResponse> responses = parseResponses(exchange(replica.port(), bytes));

        String fault = checkOrder(reading, responses);
        for (int i = 0; i < Math.min(responses.size(), reading.requests().size()) && fault.isEmpty(); i++) {
            Rfc9112RequestParser.ParsedRequest request = reading.requests().get(i);
            String told = request.method() + " " + request.target() + " " + request.body().length() + " "
                    + request.body().hashCode();
            ParsedResponse response = responses.get(i);
            if (response.status == 200 && !response.body.equals(told) && request.target().startsWith("/")) {
                fault = "read " + response.body + " instead of " + told;
            }
        }
        return fault.isEmpty() ? "" : "seed " + seed + ": " + fault + ": " + printable(bytes);
    }

    /** No more responses than requests, and none behind one that ends the connection. */
    private static String checkOrder(Rfc9112RequestParser.ParseResult reading, List<ParsedResponse> responses) {
        for (int i = 0; i < responses.size(); i++) {
            if (responses.get(i).closesConnection() && i < responses.size() - 1) {
                return "read on after a refusal";
            }
            // After a response to a proper head, the body behind it may prove improper.
            int end = reading.requests().size() + (reading.headOnly() ? 1 : 0);
            boolean read = i < reading.requests().size() || (i == reading.requests().size() && reading.headOnly());
            if (!read && !(responses.get(i).isRejection() && i <= end)) {
                return "read a request that is none";
            }
        }
        return "";
    }

    private static String checkManagement(int port, long seed) throws IOException {
        byte[] bytes = mutated(seed, "/actuator/health/liveness");

        String fault = checkOrder(Rfc9112RequestParser.parse(bytes), parseResponses(exchange(port, bytes)));

        return fault.isEmpty() ? "" : "seed " + seed + ": " + fault + ": " + printable(bytes);
    }

    private static String printable(byte[] bytes) {
        return Slf4jAccessLog.escapeControls(new String(bytes, StandardCharsets.ISO_8859_1));
    }

    private interface SeedCheck {
        String run(long seed) throws IOException;
    }

    private static void checkAllSeeds(SeedCheck check) throws Exception {
        var faults = new ArrayList<String>();
        for (int from = 0; from < SEEDS; from += BATCH_SIZE) {
            var all = new ArrayList<Future<String>>();
            for (int i = 0; i < BATCH_SIZE; i++) {
                long seed = (long) from + i;
                all.add(HttpProbe.async(() -> check.run(seed)));
            }
            HttpProbe.joinAll(all).stream().filter(fault -> !fault.isEmpty()).forEach(faults::add);
        }
        assertThat(faults).isEmpty();
    }

    @Test
    void dataPortParsesAsRfc9112OrRejects() throws Exception {
        checkAllSeeds(this::checkDataPort);
    }

    @Test
    void managementPortParsesAsRfc9112OrRejects() throws Exception {
        int port = replica.context().getEnvironment().getRequiredProperty("local.management.port", Integer.class);
        checkAllSeeds(seed -> checkManagement(port, seed));
    }

    /** A client that breaks off a body which nobody reads yet is nothing to log: {@link LogAndLeakGuard} fails the test if it is. */
    @ParameterizedTest
    @ValueSource(strings = {"zz\r\n", "5\r\nhel", ""})
    void whoBreaksOffABodyIsNothingToLog(String chunks) throws Exception {
        int management = replica.context().getEnvironment().getRequiredProperty("local.management.port", Integer.class);
        for (int port : List.of(management, replica.port())) {
            for (String target : List.of("/actuator/purge", "/actuator/none", "/gone/x", "/nowhere")) {
                for (int i = 0; i < 5; i++) {
                    try (var client = new HttpProbe(port)) {
                        client.send("POST " + target
                                + " HTTP/1.1\r\nHost: a\r\nAuthorization: Basic b3BzOnNlY3JldA==\r\n"
                                + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
                        client.reset();
                    }
                }
            }
        }
        assertThat(HttpProbe.requestOnce(management, "GET", "/actuator/health/liveness").status()).isEqualTo(200);
        assertThat(replica.get("/nowhere").status()).isEqualTo(404);
    }

    /** The test tests something: of unchanged requests each is read, and few of the changed ones are all proper. */
    @Test
    void majorityOfMutatedRequestsIsInvalid() {
        int proper = 0;
        for (long seed = 0; seed < SEEDS; seed++) {
            proper += Rfc9112RequestParser.parse(mutated(seed, "/path")).complete() ? 1 : 0;
            byte[] whole = validRequests(new Random(seed), "/path").getBytes(StandardCharsets.ISO_8859_1);
            assertThat(Rfc9112RequestParser.parse(whole).complete()).isTrue();
            assertThat(Rfc9112RequestParser.parse(whole).requests()).hasSizeBetween(2, 3);
        }
        assertThat(proper).isBetween(SEEDS / 10, SEEDS / 2);
    }
}
