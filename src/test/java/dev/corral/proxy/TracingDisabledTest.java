package dev.corral.proxy;

import dev.corral.proxy.observe.AccessLog;
import dev.corral.proxy.observe.RequestTracing;
import io.micrometer.tracing.Tracer;
import io.opentelemetry.api.OpenTelemetry;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** With the defaults nothing traces, and nothing is logged of a request. */
@ProxyTest
class TracingDisabledTest {

    private static final String PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    private final FleetUnderTest fleet;

    TracingDisabledTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @Test
    void openTelemetryIsAbsentByDefault() {
        assertThat(fleet.a.context().getBean(Tracer.class)).isSameAs(Tracer.NOOP);
        assertThat(fleet.a.context().getBean(RequestTracing.class)).isSameAs(RequestTracing.OFF);
        assertThat(fleet.a.context().getBean(AccessLog.class)).isSameAs(AccessLog.OFF);
        assertThat(fleet.a.context().getBeanNamesForType(OpenTelemetry.class)).isEmpty();
        // Those of a context that another test has closed may be on their way out.
        ReplicaUnderTest.eventually(() -> exporterThreads().isEmpty());
    }

    private static List<String> exporterThreads() {
        return Thread.getAllStackTraces()
                .keySet()
                .stream()
                .map(Thread::getName)
                .filter(name -> name.startsWith("Batch") || name.startsWith("OkHttp") || name.contains("otlp"))
                .toList();
    }

    /** One client's trace is not that of all who wait; in a request of his own it is a field like any other. */
    @Test
    void clientTraceReachesTheOriginOnUnsharedRequestOnly() throws IOException {
        String path = fleet.uniquePath("trace");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=60");

        fleet.a.getAndStore(path, "traceparent", PARENT, "tracestate", "vendor=1", "baggage", "user=1", "b3", "0");
        fleet.a.request("POST", path, "traceparent", PARENT, "tracestate", "vendor=1", "Content-Length", "0");

        assertThat(fleet.origin.receivedRequests(path)).hasSize(2);
        for (String name : List.of("traceparent", "tracestate", "baggage", "b3")) {
            assertThat(fleet.origin.receivedRequests(path).getFirst().fields().has(name)).as(name).isFalse();
        }
        assertThat(fleet.origin.lastRequest(path).fields().values("traceparent")).containsExactly(PARENT);
        assertThat(fleet.origin.lastRequest(path).fields().values("tracestate")).containsExactly("vendor=1");
    }
}
