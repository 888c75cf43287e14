package dev.corral.proxy.observe;

import dev.corral.http.HeaderFields;
import dev.corral.origin.OriginRequest;
import io.micrometer.tracing.Link;
import io.micrometer.tracing.Span;
import io.micrometer.tracing.TraceContext;
import io.micrometer.tracing.Tracer;
import io.micrometer.tracing.propagation.Propagator;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Implements tracing with Micrometer Tracing. Thread-safe.
 *
 * <p>Each request has a span, within the client's trace if the route trusts it. A shared fetch is the root of its own trace. The
 * origin therefore never gets the trace of one client for a fetch on behalf of several, and no client's trace contains a fetch of
 * another one. Each request that waited for the fetch has a wait span with a link to it. The link works across replicas, because
 * the entry carries the trace context of the fetch.
 */
public final class MicrometerRequestTracing implements RequestTracing {

    /** Methods that appear in span names. Clients may send any method, but the set of span names must be bounded. */
    private static final Set<String> KNOWN_METHODS = Set.of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS");

    /** W3C Trace Context section 3.2, in the version that this class writes. */
    private static final Pattern TRACEPARENT_PATTERN = Pattern
            .compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})");

    private final Tracer tracer;
    private final Propagator propagator;
    private final Set<String> traceFields = new TreeSet<>(String.CASE_INSENSITIVE_ORDER);

    /**
     * @param tracer     creates the spans
     * @param propagator reads and writes the trace contexts in header fields
     */
    public MicrometerRequestTracing(Tracer tracer, Propagator propagator) {
        this.tracer = tracer;
        this.propagator = propagator;
        this.traceFields.addAll(propagator.fields());
        // Baggage belongs to the request, not to the trace. The propagator replaces the members that it manages.
        this.traceFields.remove("baggage");
        // OpenTelemetry reads files when it first looks up its context storage. Do that here and not on an event loop.
        tracer.currentSpan();
    }

    @Override
    public RequestSpan startRequest(String method, String path, HeaderFields fields, String route, boolean trusted) {
        Span.Builder builder = trusted
                ? propagator.extract(fields, (all, name) -> all.firstValue(name).orElse(null))
                : tracer.spanBuilder().setNoParent();
        return new MicrometerRequestSpan(builder.kind(Span.Kind.SERVER)
                .name((KNOWN_METHODS.contains(method) ? method : "HTTP") + " " + route)
                .tag("http.request.method", method)
                .tag("url.path", path)
                .tag("corral.route", route)
                .start(), route);
    }

    private static String formatTraceparent(TraceContext context) {
        return "00-" + context.traceId() + "-" + context.spanId()
                + (Boolean.TRUE.equals(context.sampled()) ? "-01" : "-00");
    }

    private Optional<Link> toLink(String traceparent) {
        Matcher parts = TRACEPARENT_PATTERN.matcher(traceparent);
        return parts.matches()
                ? Optional.of(new Link(tracer.traceContextBuilder()
                        .traceId(parts.group(1))
                        .spanId(parts.group(2))
                        .sampled((Integer.parseInt(parts.group(3), 16) & 1) == 1)
                        .build()))
                : Optional.empty();
    }

    private OriginRequest withTraceFields(OriginRequest outgoing, TraceContext context) {
        var injectedFields = new HashMap<String, String>();
        propagator.inject(context, injectedFields, Map::put);
        HeaderFields fields = outgoing.fields().without(traceFields::contains);
        for (Map.Entry<String, String> field : injectedFields.entrySet()) {
            fields = fields.withReplaced(field.getKey(), field.getValue());
        }
        return new OriginRequest(outgoing.method(), outgoing.target(), fields, outgoing.body());
    }

    private final class MicrometerRequestSpan implements RequestSpan {

        private final Span span;
        private final String routeId;

        MicrometerRequestSpan(Span span, String route) {
            this.span = span;
            this.routeId = route;
        }

        @Override
        public FetchSpan startFetch(OriginRequest outgoing, boolean unshared) {
            Span.Builder builder = tracer.spanBuilder();
            int query = outgoing.target().indexOf('?');
            Span fetch = (unshared ? builder.setParent(span.context()) : builder.setNoParent())
                    .kind(Span.Kind.CLIENT)
                    .name("fetch " + routeId)
                    .tag("http.request.method", outgoing.method())
                    .tag("url.path", query < 0 ? outgoing.target() : outgoing.target().substring(0, query))
                    .tag("corral.route", routeId)
                    .start();
            return new MicrometerFetchSpan(fetch, withTraceFields(outgoing, fetch.context()));
        }

        @Override
        public WaitSpan startWait() {
            long since = System.currentTimeMillis();
            return (end, fetch) -> {
                // A link must be added before the span starts, but is known only at the end of the wait.
                Span.Builder builder = tracer.spanBuilder()
                        .setParent(span.context())
                        .startTimestamp(since, TimeUnit.MILLISECONDS)
                        .name("wait " + routeId)
                        .tag("corral.wait.result", end);
                toLink(fetch).ifPresent(builder::addLink);
                builder.start().end();
            };
        }

        @Override
        public <T> T inScope(Supplier<T> task) {
            Tracer.SpanInScope scope = tracer.withSpan(span);
            try {
                return task.get();
            } finally {
                scope.close();
            }
        }

        @Override
        public void end(int status, ProxyMetrics.RequestOutcome outcome) {
            span.tag("corral.outcome", outcome.tag());
            if (status > 0) {
                span.tag("http.response.status_code", status);
            }
            if (status >= 500) {
                span.tag("error.type", Integer.toString(status));
            }
            span.end();
        }
    }

    private record MicrometerFetchSpan(Span span, OriginRequest request) implements FetchSpan {

        @Override
        public String traceparent() {
            return formatTraceparent(span.context());
        }

        @Override
        public void responseReceived(int status) {
            span.tag("http.response.status_code", status).end();
        }

        @Override
        public void failed(Throwable cause) {
            span.error(cause).end();
        }

        @Override
        public void cancelled() {
            span.event("cancelled").end();
        }
    }
}
