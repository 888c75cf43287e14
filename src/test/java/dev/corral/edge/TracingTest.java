package dev.corral.edge;

import dev.corral.Application;
import dev.corral.coalesce.Purges;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.http.Fields;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.trace.ReadWriteSpan;
import io.opentelemetry.sdk.trace.ReadableSpan;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.data.LinkData;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.support.GenericApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Two replicas that trace every request, over one real Redis: which spans there are, what they are linked to, and what an origin
 * hears of whom.
 */
@Timeout(60)
class TracingTest {

    private static final int CROWD = 8;

    /** Keeps what has ended, without a lock. */
    private static final class Ended implements SpanProcessor {

        private final Queue<SpanData> spans = new ConcurrentLinkedQueue<>();

        @Override
        public void onStart(Context parent, ReadWriteSpan span) {}

        @Override
        public boolean isStartRequired() {
            return false;
        }

        @Override
        public void onEnd(ReadableSpan span) {
            spans.add(span.toSpanData());
        }

        @Override
        public boolean isEndRequired() {
            return true;
        }

        List<SpanData> named(String begin) {
            return spans.stream().filter(span -> span.getName().startsWith(begin)).toList();
        }
    }

    /** A client's own trace. */
    private record Asker(String trace, String span) {

        static Asker any() {
            return new Asker(hex(16), hex(8));
        }

        String traceparent() {
            return "00-" + trace + "-" + span + "-01";
        }

        private static String hex(int bytes) {
            var random = new byte[bytes];
            RandomGenerator.getDefault().nextBytes(random);
            random[0] |= 1;
            return HexFormat.of().formatHex(random);
        }
    }

    private static final StubOrigin origin = new StubOrigin();
    private static final EmbeddedRedis redis = RedisServer.embedded();
    private static final Ended ofA = new Ended();
    private static final Ended ofB = new Ended();
    private static final AtomicInteger paths = new AtomicInteger();
    private static Replica a;
    private static Replica b;

    @BeforeAll
    static void start() {
        a = replica("traced-a", ofA);
        b = replica("traced-b", ofB);
    }

    private static Replica replica(String id, Ended ended) {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.replica-id=" + id,
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s",
                "--management.tracing.enabled=true", "--management.tracing.sampling.probability=1",
                "--corral.routes[0].id=trusting", "--corral.routes[0].path=/trusting/**",
                "--corral.routes[0].origin=" + origin.url(), "--corral.routes[0].forward.trust=true",
                "--corral.routes[1].id=open", "--corral.routes[1].path=/open/**",
                "--corral.routes[1].origin=" + origin.url()));
        var run = new SpringApplicationBuilder(Application.class)
                .initializers(context -> ((GenericApplicationContext) context).registerBean(SpanProcessor.class,
                        () -> ended))
                .run(arguments.toArray(String[]::new));
        Replica.until(() -> run.getBean(Purges.class).current());
        return new Replica(run, run.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
    }

    @AfterAll
    static void stop() {
        a.close();
        b.close();
        redis.close();
        origin.close();
    }

    @BeforeEach
    void forget() {
        ofA.spans.clear();
        ofB.spans.clear();
    }

    @Test
    void whoeverWaitsOnAnyReplicaLinksToTheOneFetch() throws Exception {
        String path = path("trusting");
        List<Asker> askers = crowd(path, gate -> exchange -> {
            gate.await();
            exchange.answer(200, "page", "Cache-Control", "max-age=60");
        });

        SpanData fetch = theOnly(spans("fetch"));
        assertThat(fetch.getKind()).isEqualTo(SpanKind.CLIENT);
        assertThat(fetch.getParentSpanContext().isValid()).as("a root").isFalse();
        assertThat(fetch.getLinks()).isEmpty();
        assertThat(traces(askers)).doesNotContain(fetch.getTraceId());
        assertEachWaitsFor(fetch, askers);

        assertThat(origin.count(path)).isEqualTo(1);
        StubOrigin.Received received = origin.last(path);
        assertThat(received.fields().all("traceparent"))
                .containsExactly("00-" + fetch.getTraceId() + "-" + fetch.getSpanId() + "-01");
        assertThat(received.fields().has("tracestate")).isFalse();
        assertThat(received.fields().lines().toString()).doesNotContain(traces(askers).toArray(String[]::new));
    }

    /** Who waited for a failure wants to see it, too. */
    @Test
    void aFailureIsLinkedToLikeAnAnswer() throws Exception {
        String path = path("trusting");
        List<Asker> askers = crowd(path, gate -> exchange -> {
            gate.await();
            exchange.answer(503, "down");
        });

        assertEachWaitsFor(theOnly(spans("fetch")), askers);
        assertThat(spans("GET trusting")).allSatisfy(span -> {
            assertThat(tag(span, "http.response.status_code")).isEqualTo("503");
            assertThat(tag(span, "error.type")).isEqualTo("503");
            assertThat(tag(span, "corral.outcome")).isEqualTo("failed");
        });
    }

    @Test
    void whoeverIsReleasedLinksToTheFetchHeWaitedFor() throws Exception {
        String path = path("trusting");
        List<Asker> askers = crowd(path, gate -> exchange -> {
            gate.await();
            exchange.answer(200, "mine", "Cache-Control", "private");
        });

        SpanData first = theOnly(spans("fetch").stream()
                .filter(span -> !span.getParentSpanContext().isValid())
                .filter(span -> !links("released").isEmpty()
                        && links("released").contains(span.getSpanContext().getSpanId()))
                .toList());
        assertThat(traces(askers)).doesNotContain(first.getTraceId());
        assertThat(spans("wait").stream().map(SpanData::getTraceId)).containsAll(traces(askers));
        // Each fetch told the origin of a trace, and of no client's but the one who asked for it in his own words.
        List<String> told = origin.received(path).stream().map(request -> request.field("traceparent")).toList();
        assertThat(told).hasSize(2 * CROWD).doesNotHaveDuplicates();
    }

    @Test
    void aHitWaitsForNobody() throws IOException {
        String path = path("trusting");
        origin.on(path, 200, "page", "Cache-Control", "max-age=60");
        a.store(path);
        // The last of its spans.
        Replica.until(() -> ofA.named("GET").stream().anyMatch(span -> path.equals(tag(span, "url.path"))));
        forget();
        Asker asker = Asker.any();

        assertThat(a.get(path, "traceparent", asker.traceparent()).hit()).isTrue();
        assertThat(b.get(path).hit()).isTrue();

        Replica.until(() -> spans("").size() == 2);
        SpanData hit = theOnly(ofA.named("GET trusting"));
        assertThat(hit.getKind()).isEqualTo(SpanKind.SERVER);
        assertThat(hit.getTraceId()).isEqualTo(asker.trace());
        assertThat(hit.getParentSpanId()).isEqualTo(asker.span());
        assertThat(tag(hit, "corral.outcome")).isEqualTo("hit");
        assertThat(tag(hit, "url.path")).isEqualTo(path);
    }

    /** A trace goes on through a request that is one client's own, where the route trusts what comes before it. */
    @Test
    void aRequestOfOnesOwnStaysInItsTrace() throws IOException {
        String path = path("trusting");
        origin.on(path, 200, "done");
        Asker asker = Asker.any();

        a.ask("POST", path + "?secret=1", "traceparent", asker.traceparent(), "tracestate", "vendor=1",
                "Content-Length", "0");

        Replica.until(() -> spans("").size() == 2);
        SpanData request = theOnly(spans("POST trusting"));
        SpanData fetch = theOnly(spans("fetch trusting"));
        assertThat(request.getParentSpanId()).isEqualTo(asker.span());
        assertThat(fetch.getParentSpanId()).isEqualTo(request.getSpanId());
        assertThat(origin.last(path).fields().all("traceparent"))
                .containsExactly("00-" + asker.trace() + "-" + fetch.getSpanId() + "-01");
        assertThat(origin.last(path).fields().all("tracestate")).containsExactly("vendor=1");
        assertThat(spans("").toString()).doesNotContain("secret");
    }

    /** Anybody could have every request of his exported, or put his own into another's trace. */
    @Test
    void aTraceIsNotTakenFromAClientWhomTheRouteDoesNotTrust() throws IOException {
        String path = path("open");
        origin.on(path, 200, "done");
        Asker asker = Asker.any();

        for (String method : List.of("GET", "POST")) {
            a.ask(method, path, "traceparent", asker.traceparent(), "tracestate", "vendor=1", "b3",
                    asker.trace() + "-" + asker.span() + "-1", "Content-Length", "0");
        }

        Replica.until(() -> spans("").stream().filter(span -> span.getKind() == SpanKind.SERVER).count() == 2);
        assertThat(spans("")).noneMatch(span -> span.getTraceId().equals(asker.trace()));
        for (StubOrigin.Received request : origin.received(path)) {
            Fields fields = request.fields();
            assertThat(fields.all("traceparent")).hasSize(1);
            assertThat(fields.has("tracestate")).isFalse();
            assertThat(fields.lines().toString()).doesNotContain(asker.trace());
        }
    }

    @Test
    void anOriginThatCannotBeReachedIsAnErrorOfItsSpan() throws IOException {
        String path = path("open");
        origin.on(path, StubOrigin.Exchange::close);

        a.get(path);

        Replica.until(() -> spans("GET").size() == 1);
        assertThat(spans("fetch")).allSatisfy(
                span -> assertThat(span.getStatus().getStatusCode()).isEqualTo(StatusCode.ERROR)).isNotEmpty();
    }

    @Test
    void whoLeavesHasASpanWithoutAStatus() throws Exception {
        String path = path("open");
        var gate = new CountDownLatch(1);
        origin.on(path, exchange -> {
            gate.await();
            exchange.answer(200, "late");
        });
        try (Client client = a.connect()) {
            client.request("GET", path);
            a.awaitWaiting(1);
        }

        Replica.until(() -> spans("GET").size() == 1);
        assertThat(tag(theOnly(spans("GET")), "corral.outcome")).isEqualTo("left");
        assertThat(tag(theOnly(spans("GET")), "http.response.status_code")).isEmpty();
        gate.countDown();
        a.awaitLanded();
    }

    /** A path with no route is a request like any other. */
    @Test
    void aRefusalIsASpan() throws IOException {
        a.get("/nowhere");

        Replica.until(() -> spans("").size() == 1);
        assertThat(tag(theOnly(spans("GET none")), "http.response.status_code")).isEqualTo("404");
    }

    // ---- the crowd

    private interface Gated {
        StubOrigin.Script by(CountDownLatch gate);
    }

    /** Sends a crowd to a cold key on both replicas, and lets the origin answer when all of them wait. */
    private static List<Asker> crowd(String path, Gated script) throws Exception {
        var gate = new CountDownLatch(1);
        origin.on(path, script.by(gate));
        List<Asker> askers = Stream.generate(Asker::any).limit(2 * CROWD).toList();
        var answers = new ArrayList<Future<Client.Answer>>();
        for (int i = 0; i < askers.size(); i++) {
            Replica replica = i % 2 == 0 ? a : b;
            String traceparent = askers.get(i).traceparent();
            answers.add(Client.meanwhile(() -> replica.get(path, "traceparent", traceparent)));
        }
        a.awaitWaiting(CROWD);
        b.awaitWaiting(CROWD);
        Replica.until(() -> origin.count(path) == 1);
        gate.countDown();
        Client.join(answers);
        Replica.until(() -> spans("GET").size() == askers.size());
        return askers;
    }

    private static void assertEachWaitsFor(SpanData fetch, List<Asker> askers) {
        for (Ended replica : List.of(ofA, ofB)) {
            assertThat(replica.named("wait trusting")).hasSize(CROWD).allSatisfy(wait -> {
                SpanContext link = theOnly(wait.getLinks()).getSpanContext();
                assertThat(link.getTraceId()).isEqualTo(fetch.getTraceId());
                assertThat(link.getSpanId()).isEqualTo(fetch.getSpanId());
                assertThat(link.isSampled()).isTrue();
                assertThat(wait.getEndEpochNanos()).isGreaterThanOrEqualTo(wait.getStartEpochNanos());
                SpanData request = theOnly(replica.named("GET trusting")
                        .stream()
                        .filter(span -> span.getSpanId().equals(wait.getParentSpanId()))
                        .toList());
                assertThat(request.getTraceId()).isEqualTo(wait.getTraceId());
            });
        }
        assertThat(spans("wait").stream().map(SpanData::getTraceId)).containsExactlyInAnyOrderElementsOf(
                askers.stream().map(Asker::trace).toList());
    }

    private static String path(String route) {
        return "/" + route + "/" + paths.incrementAndGet();
    }

    private static List<SpanData> spans(String begin) {
        return Stream.of(ofA, ofB).flatMap(replica -> replica.named(begin).stream()).toList();
    }

    private static Set<String> links(String end) {
        return spans("wait").stream()
                .filter(wait -> tag(wait, "corral.end").equals(end))
                .flatMap(wait -> wait.getLinks().stream())
                .map(LinkData::getSpanContext)
                .map(SpanContext::getSpanId)
                .collect(Collectors.toSet());
    }

    private static Set<String> traces(List<Asker> askers) {
        return askers.stream().map(Asker::trace).collect(Collectors.toSet());
    }

    private static String tag(SpanData span, String name) {
        return span.getAttributes()
                .asMap()
                .entrySet()
                .stream()
                .filter(attribute -> attribute.getKey().getKey().equals(name))
                .map(attribute -> attribute.getValue().toString())
                .findFirst()
                .orElse("");
    }

    private static <T> T theOnly(List<T> all) {
        assertThat(all).hasSize(1);
        return all.getFirst();
    }
}
