package dev.corral.proxy;

import dev.corral.CorralApplication;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import dev.corral.http.HeaderFields;
import dev.corral.purge.PurgeRegistry;
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
class RequestTracingTest {

    private static final int CLIENTS_PER_REPLICA = 8;

    /** Keeps what has ended, without a lock. */
    private static final class SpanRecorder implements SpanProcessor {

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

        List<SpanData> namedWithPrefix(String begin) {
            return spans.stream().filter(span -> span.getName().startsWith(begin)).toList();
        }
    }

    /** A client's own trace. */
    private record ClientTrace(String traceId, String spanId) {

        static ClientTrace random() {
            return new ClientTrace(hex(16), hex(8));
        }

        String traceparent() {
            return "00-" + traceId + "-" + spanId + "-01";
        }

        private static String hex(int bytes) {
            var random = new byte[bytes];
            RandomGenerator.getDefault().nextBytes(random);
            random[0] |= 1;
            return HexFormat.of().formatHex(random);
        }
    }

    private static final OriginStub origin = new OriginStub();
    private static final EmbeddedRedis redis = RedisServer.embedded();
    private static final SpanRecorder spansOfA = new SpanRecorder();
    private static final SpanRecorder spansOfB = new SpanRecorder();
    private static final AtomicInteger pathCounter = new AtomicInteger();
    private static ReplicaUnderTest a;
    private static ReplicaUnderTest b;

    @BeforeAll
    static void start() {
        a = startReplica("traced-a", spansOfA);
        b = startReplica("traced-b", spansOfB);
    }

    private static ReplicaUnderTest startReplica(String id, SpanRecorder ended) {
        var arguments = new ArrayList<String>();
        redis.settings().forEach((name, value) -> arguments.add("--" + name + "=" + value));
        arguments.addAll(List.of("--server.port=0", "--management.server.port=-1", "--corral.replica-id=" + id,
                "--spring.data.redis.timeout=5s", "--spring.data.redis.connect-timeout=5s",
                "--management.tracing.enabled=true", "--management.tracing.sampling.probability=1",
                "--corral.routes[0].id=trusting", "--corral.routes[0].path=/trusting/**",
                "--corral.routes[0].origin=" + origin.url(), "--corral.routes[0].forward.trust=true",
                "--corral.routes[0].timeout=60s",
                "--corral.routes[1].id=open", "--corral.routes[1].path=/open/**",
                "--corral.routes[1].origin=" + origin.url()));
        var run = new SpringApplicationBuilder(CorralApplication.class)
                .initializers(context -> ((GenericApplicationContext) context).registerBean(SpanProcessor.class,
                        () -> ended))
                .run(arguments.toArray(String[]::new));
        ReplicaUnderTest.eventually(() -> run.getBean(PurgeRegistry.class).isUpToDate());
        return new ReplicaUnderTest(run, run.getEnvironment().getRequiredProperty("local.server.port", Integer.class));
    }

    @AfterAll
    static void stop() {
        a.close();
        b.close();
        redis.close();
        origin.close();
    }

    @BeforeEach
    void clearSpans() {
        spansOfA.spans.clear();
        spansOfB.spans.clear();
    }

    @Test
    void everyWaitSpanLinksToTheOneFetchSpan() throws Exception {
        String path = uniquePath("trusting");
        List<ClientTrace> askers = requestConcurrently(path, gate -> exchange -> {
            gate.await();
            exchange.respond(200, "page", "Cache-Control", "max-age=60");
        });

        SpanData fetch = single(spans("fetch"));
        assertThat(fetch.getKind()).isEqualTo(SpanKind.CLIENT);
        assertThat(fetch.getParentSpanContext().isValid()).as("a root").isFalse();
        assertThat(fetch.getLinks()).isEmpty();
        assertThat(traceIds(askers)).doesNotContain(fetch.getTraceId());
        assertEachWaitSpanLinksTo(fetch, askers);

        assertThat(origin.requestCount(path)).isEqualTo(1);
        OriginStub.ReceivedRequest received = origin.lastRequest(path);
        assertThat(received.fields().values("traceparent"))
                .containsExactly("00-" + fetch.getTraceId() + "-" + fetch.getSpanId() + "-01");
        assertThat(received.fields().has("tracestate")).isFalse();
        assertThat(received.fields().lines().toString()).doesNotContain(traceIds(askers).toArray(String[]::new));
    }

    /** Who waited for a failure wants to see it, too. */
    @Test
    void waitSpansLinkToAFailedFetchSpan() throws Exception {
        String path = uniquePath("trusting");
        List<ClientTrace> askers = requestConcurrently(path, gate -> exchange -> {
            gate.await();
            exchange.respond(503, "down");
        });

        assertEachWaitSpanLinksTo(single(spans("fetch")), askers);
        assertThat(spans("GET trusting")).allSatisfy(span -> {
            assertThat(tag(span, "http.response.status_code")).isEqualTo("503");
            assertThat(tag(span, "error.type")).isEqualTo("503");
            assertThat(tag(span, "corral.outcome")).isEqualTo("failed");
        });
    }

    @Test
    void waitSpanOfReleasedRequestLinksToItsFetchSpan() throws Exception {
        String path = uniquePath("trusting");
        List<ClientTrace> askers = requestConcurrently(path, gate -> exchange -> {
            gate.await();
            exchange.respond(200, "mine", "Cache-Control", "private");
        });

        SpanData first = single(spans("fetch").stream()
                .filter(span -> !span.getParentSpanContext().isValid())
                .filter(span -> !linkedSpanIds("uncoalesced").isEmpty()
                        && linkedSpanIds("uncoalesced").contains(span.getSpanContext().getSpanId()))
                .toList());
        assertThat(traceIds(askers)).doesNotContain(first.getTraceId());
        assertThat(spans("wait").stream().map(SpanData::getTraceId)).containsAll(traceIds(askers));
        // Each fetch told the origin of a trace, and of no client's but the one who asked for it in his own words.
        List<String> told = origin.receivedRequests(path)
                .stream()
                .map(request -> request.field("traceparent"))
                .toList();
        assertThat(told).hasSize(2 * CLIENTS_PER_REPLICA).doesNotHaveDuplicates();
    }

    @Test
    void hitHasNoWaitSpan() throws IOException {
        String path = uniquePath("trusting");
        origin.on(path, 200, "page", "Cache-Control", "max-age=60");
        a.getAndStore(path);
        // The last of its spans.
        ReplicaUnderTest.eventually(
                () -> spansOfA.namedWithPrefix("GET").stream().anyMatch(span -> path.equals(tag(span, "url.path"))));
        clearSpans();
        ClientTrace asker = ClientTrace.random();

        assertThat(a.get(path, "traceparent", asker.traceparent()).isHit()).isTrue();
        assertThat(b.get(path).isHit()).isTrue();

        ReplicaUnderTest.eventually(() -> spans("").size() == 2);
        SpanData hit = single(spansOfA.namedWithPrefix("GET trusting"));
        assertThat(hit.getKind()).isEqualTo(SpanKind.SERVER);
        assertThat(hit.getTraceId()).isEqualTo(asker.traceId());
        assertThat(hit.getParentSpanId()).isEqualTo(asker.spanId());
        assertThat(tag(hit, "corral.outcome")).isEqualTo("hit");
        assertThat(tag(hit, "url.path")).isEqualTo(path);
    }

    /** A trace goes on through a request that is one client's own, where the route trusts what comes before it. */
    @Test
    void passRequestContinuesTheClientTrace() throws IOException {
        String path = uniquePath("trusting");
        origin.on(path, 200, "done");
        ClientTrace asker = ClientTrace.random();

        a.request("POST", path + "?secret=1", "traceparent", asker.traceparent(), "tracestate", "vendor=1",
                "Content-Length", "0");

        ReplicaUnderTest.eventually(() -> spans("").size() == 2);
        SpanData request = single(spans("POST trusting"));
        SpanData fetch = single(spans("fetch trusting"));
        assertThat(request.getParentSpanId()).isEqualTo(asker.spanId());
        assertThat(fetch.getParentSpanId()).isEqualTo(request.getSpanId());
        assertThat(origin.lastRequest(path).fields().values("traceparent"))
                .containsExactly("00-" + asker.traceId() + "-" + fetch.getSpanId() + "-01");
        assertThat(origin.lastRequest(path).fields().values("tracestate")).containsExactly("vendor=1");
        assertThat(spans("").toString()).doesNotContain("secret");
    }

    /** Anybody could have every request of his exported, or put his own into another's trace. */
    @Test
    void untrustedClientTraceIsIgnored() throws IOException {
        String path = uniquePath("open");
        origin.on(path, 200, "done");
        ClientTrace asker = ClientTrace.random();

        for (String method : List.of("GET", "POST")) {
            a.request(method, path, "traceparent", asker.traceparent(), "tracestate", "vendor=1", "b3",
                    asker.traceId() + "-" + asker.spanId() + "-1", "Content-Length", "0");
        }

        ReplicaUnderTest
                .eventually(() -> spans("").stream().filter(span -> span.getKind() == SpanKind.SERVER).count() == 2);
        assertThat(spans("")).noneMatch(span -> span.getTraceId().equals(asker.traceId()));
        for (OriginStub.ReceivedRequest request : origin.receivedRequests(path)) {
            HeaderFields fields = request.fields();
            assertThat(fields.values("traceparent")).hasSize(1);
            assertThat(fields.has("tracestate")).isFalse();
            assertThat(fields.lines().toString()).doesNotContain(asker.traceId());
        }
    }

    @Test
    void unreachableOriginMarksTheFetchSpanAsError() throws IOException {
        String path = uniquePath("open");
        origin.on(path, OriginStub.StubExchange::close);

        a.get(path);

        ReplicaUnderTest.eventually(() -> spans("GET").size() == 1);
        assertThat(spans("fetch")).allSatisfy(
                span -> assertThat(span.getStatus().getStatusCode()).isEqualTo(StatusCode.ERROR)).isNotEmpty();
    }

    @Test
    void disconnectedClientHasASpanWithoutStatus() throws Exception {
        String path = uniquePath("open");
        var gate = new CountDownLatch(1);
        origin.on(path, exchange -> {
            gate.await();
            exchange.respond(200, "late");
        });
        try (HttpProbe client = a.connect()) {
            client.request("GET", path);
            a.awaitWaiters(1);
        }

        ReplicaUnderTest.eventually(() -> spans("GET").size() == 1);
        assertThat(tag(single(spans("GET")), "corral.outcome")).isEqualTo("client_closed");
        assertThat(tag(single(spans("GET")), "http.response.status_code")).isEmpty();
        gate.countDown();
        a.awaitNoFlights();
    }

    /** A path with no route is a request like any other. */
    @Test
    void requestWithoutRouteHasASpan() throws IOException {
        a.get("/nowhere");

        ReplicaUnderTest.eventually(() -> spans("").size() == 1);
        assertThat(tag(single(spans("GET none")), "http.response.status_code")).isEqualTo("404");
    }

    // ---- the crowd

    private interface GatedScript {
        OriginStub.ResponseScript behind(CountDownLatch gate);
    }

    /** Sends a crowd to a cold key on both replicas, and lets the origin answer when all of them wait. */
    private static List<ClientTrace> requestConcurrently(String path, GatedScript script) throws Exception {
        var gate = new CountDownLatch(1);
        origin.on(path, script.behind(gate));
        List<ClientTrace> askers = Stream.generate(ClientTrace::random).limit(2 * CLIENTS_PER_REPLICA).toList();
        var answers = new ArrayList<Future<HttpProbe.ProbeResponse>>();
        for (int i = 0; i < askers.size(); i++) {
            ReplicaUnderTest replica = i % 2 == 0 ? a : b;
            String traceparent = askers.get(i).traceparent();
            answers.add(HttpProbe.async(() -> replica.get(path, "traceparent", traceparent)));
        }
        a.awaitWaiters(CLIENTS_PER_REPLICA);
        b.awaitWaiters(CLIENTS_PER_REPLICA);
        FleetUnderTest.awaitFollower(redis, List.of(a, b));
        ReplicaUnderTest.eventually(() -> origin.requestCount(path) == 1);
        gate.countDown();
        HttpProbe.joinAll(answers);
        ReplicaUnderTest.eventually(() -> spans("GET").size() == askers.size());
        return askers;
    }

    private static void assertEachWaitSpanLinksTo(SpanData fetch, List<ClientTrace> askers) {
        for (SpanRecorder replica : List.of(spansOfA, spansOfB)) {
            assertThat(replica.namedWithPrefix("wait trusting")).hasSize(CLIENTS_PER_REPLICA).allSatisfy(wait -> {
                SpanContext link = single(wait.getLinks()).getSpanContext();
                assertThat(link.getTraceId()).isEqualTo(fetch.getTraceId());
                assertThat(link.getSpanId()).isEqualTo(fetch.getSpanId());
                assertThat(link.isSampled()).isTrue();
                assertThat(wait.getEndEpochNanos()).isGreaterThanOrEqualTo(wait.getStartEpochNanos());
                SpanData request = single(replica.namedWithPrefix("GET trusting")
                        .stream()
                        .filter(span -> span.getSpanId().equals(wait.getParentSpanId()))
                        .toList());
                assertThat(request.getTraceId()).isEqualTo(wait.getTraceId());
            });
        }
        assertThat(spans("wait").stream().map(SpanData::getTraceId)).containsExactlyInAnyOrderElementsOf(
                askers.stream().map(ClientTrace::traceId).toList());
    }

    private static String uniquePath(String route) {
        return "/" + route + "/" + pathCounter.incrementAndGet();
    }

    private static List<SpanData> spans(String begin) {
        return Stream.of(spansOfA, spansOfB).flatMap(replica -> replica.namedWithPrefix(begin).stream()).toList();
    }

    private static Set<String> linkedSpanIds(String end) {
        return spans("wait").stream()
                .filter(wait -> tag(wait, "corral.wait.result").equals(end))
                .flatMap(wait -> wait.getLinks().stream())
                .map(LinkData::getSpanContext)
                .map(SpanContext::getSpanId)
                .collect(Collectors.toSet());
    }

    private static Set<String> traceIds(List<ClientTrace> askers) {
        return askers.stream().map(ClientTrace::traceId).collect(Collectors.toSet());
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

    private static <T> T single(List<T> all) {
        assertThat(all).hasSize(1);
        return all.getFirst();
    }
}
