package dev.corral.edge;

import io.micrometer.tracing.Tracer;
import io.opentelemetry.api.OpenTelemetry;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** With the defaults nothing traces, and nothing is logged of a request. */
@EdgeTest
class UntracedTest {

    private static final String PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    private final Fleet fleet;

    UntracedTest(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void nothingOfOpenTelemetryIsThere() {
        assertThat(fleet.a.context().getBean(Tracer.class)).isSameAs(Tracer.NOOP);
        assertThat(fleet.a.context().getBean(Tracing.class)).isSameAs(Tracing.OFF);
        assertThat(fleet.a.context().getBean(AccessLog.class)).isSameAs(AccessLog.OFF);
        assertThat(fleet.a.context().getBeanNamesForType(OpenTelemetry.class)).isEmpty();
        // Those of a context that another test has closed may be on their way out.
        Replica.until(() -> exporters().isEmpty());
    }

    private static List<String> exporters() {
        return Thread.getAllStackTraces()
                .keySet()
                .stream()
                .map(Thread::getName)
                .filter(name -> name.startsWith("Batch") || name.startsWith("OkHttp") || name.contains("otlp"))
                .toList();
    }

    /** One client's trace is not that of all who wait; in a request of his own it is a field like any other. */
    @Test
    void theTraceOfAClientReachesTheOriginWithHisOwnRequestOnly() throws IOException {
        String path = fleet.path("trace");
        fleet.origin.on(path, 200, "page", "Cache-Control", "max-age=60");

        fleet.a.store(path, "traceparent", PARENT, "tracestate", "vendor=1", "baggage", "user=1", "b3", "0");
        fleet.a.ask("POST", path, "traceparent", PARENT, "tracestate", "vendor=1", "Content-Length", "0");

        assertThat(fleet.origin.received(path)).hasSize(2);
        for (String name : List.of("traceparent", "tracestate", "baggage", "b3")) {
            assertThat(fleet.origin.received(path).getFirst().fields().has(name)).as(name).isFalse();
        }
        assertThat(fleet.origin.last(path).fields().all("traceparent")).containsExactly(PARENT);
        assertThat(fleet.origin.last(path).fields().all("tracestate")).containsExactly("vendor=1");
    }
}
