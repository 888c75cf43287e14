package dev.corral.edge;

import dev.corral.http.Fields;
import dev.corral.origin.Outgoing;
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
 * Traces by Micrometer Tracing. Thread-safe.
 *
 * <p>A request is a span; of the client's trace where the route trusts it. A fetch whose answer others may have is the root of a
 * trace of its own, so that no client's trace is told to the origin in the name of all who wait, nor found in another's. Whoever
 * waited for it has a span for the wait that links to it, whichever replica fetched: the entry carries the fetch's context.
 */
public final class Spans implements Tracing {

    /** Methods that name a span: a client may send any other, and span names are a bounded set. */
    private static final Set<String> METHODS = Set.of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS");

    /** W3C Trace Context section 3.2, of the version that we write ourselves. */
    private static final Pattern TRACEPARENT = Pattern.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})");

    private final Tracer tracer;
    private final Propagator propagator;
    private final Set<String> told = new TreeSet<>(String.CASE_INSENSITIVE_ORDER);

    /**
     * @param tracer     makes the spans
     * @param propagator reads and writes their contexts in fields
     */
    public Spans(Tracer tracer, Propagator propagator) {
        this.tracer = tracer;
        this.propagator = propagator;
        this.told.addAll(propagator.fields());
        // Not a trace's: a request's own, wherever it goes. The propagator replaces what it knows better.
        this.told.remove("baggage");
        // Now OpenTelemetry looks in files for where it keeps the current span: later it would, on an event loop.
        tracer.currentSpan();
    }

    @Override
    public Trace begin(String method, String path, Fields fields, String route, boolean trusted) {
        Span.Builder builder = trusted
                ? propagator.extract(fields, (all, name) -> all.first(name).orElse(null))
                : tracer.spanBuilder().setNoParent();
        return new Followed(builder.kind(Span.Kind.SERVER)
                .name((METHODS.contains(method) ? method : "HTTP") + " " + route)
                .tag("http.request.method", method)
                .tag("url.path", path)
                .tag("corral.route", route)
                .start(), route);
    }

    private static String traceparent(TraceContext context) {
        return "00-" + context.traceId() + "-" + context.spanId()
                + (Boolean.TRUE.equals(context.sampled()) ? "-01" : "-00");
    }

    private Optional<Link> link(String traceparent) {
        Matcher parts = TRACEPARENT.matcher(traceparent);
        return parts.matches()
                ? Optional.of(new Link(tracer.traceContextBuilder()
                        .traceId(parts.group(1))
                        .spanId(parts.group(2))
                        .sampled((Integer.parseInt(parts.group(3), 16) & 1) == 1)
                        .build()))
                : Optional.empty();
    }

    private Outgoing told(Outgoing outgoing, TraceContext context) {
        var ours = new HashMap<String, String>();
        propagator.inject(context, ours, Map::put);
        Fields fields = outgoing.fields().without(told::contains);
        for (Map.Entry<String, String> field : ours.entrySet()) {
            fields = fields.with(field.getKey(), field.getValue());
        }
        return new Outgoing(outgoing.method(), outgoing.target(), fields, outgoing.body());
    }

    private final class Followed implements Trace {

        private final Span span;
        private final String route;

        Followed(Span span, String route) {
            this.span = span;
            this.route = route;
        }

        @Override
        public Leg fetch(Outgoing outgoing, boolean own) {
            Span.Builder builder = tracer.spanBuilder();
            int query = outgoing.target().indexOf('?');
            Span fetch = (own ? builder.setParent(span.context()) : builder.setNoParent())
                    .kind(Span.Kind.CLIENT)
                    .name("fetch " + route)
                    .tag("http.request.method", outgoing.method())
                    .tag("url.path", query < 0 ? outgoing.target() : outgoing.target().substring(0, query))
                    .tag("corral.route", route)
                    .start();
            return new Flown(fetch, told(outgoing, fetch.context()));
        }

        @Override
        public Wait waits() {
            long since = System.currentTimeMillis();
            return (end, fetch) -> {
                // A link is given before the start, and known at the end.
                Span.Builder builder = tracer.spanBuilder()
                        .setParent(span.context())
                        .startTimestamp(since, TimeUnit.MILLISECONDS)
                        .name("wait " + route)
                        .tag("corral.end", end);
                link(fetch).ifPresent(builder::addLink);
                builder.start().end();
            };
        }

        @Override
        public <T> T within(Supplier<T> task) {
            Tracer.SpanInScope scope = tracer.withSpan(span);
            try {
                return task.get();
            } finally {
                scope.close();
            }
        }

        @Override
        public void ended(int status, Traffic.Outcome outcome) {
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

    private record Flown(Span span, Outgoing outgoing) implements Leg {

        @Override
        public String id() {
            return traceparent(span.context());
        }

        @Override
        public void answered(int status) {
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
