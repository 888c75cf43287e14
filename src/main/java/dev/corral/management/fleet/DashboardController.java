package dev.corral.management.fleet;

import dev.corral.management.security.ManagementExceptionHandler;
import dev.corral.management.security.ManagementRole;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.boot.actuate.endpoint.SecurityContext;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.boot.actuate.endpoint.web.annotation.WebEndpoint;
import org.springframework.context.SmartLifecycle;
import org.springframework.core.io.ByteArrayResource;
import org.springframework.http.CacheControl;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.codec.ServerSentEvent;
import org.springframework.web.reactive.function.BodyInserters;
import org.springframework.web.reactive.function.server.RequestPredicate;
import org.springframework.web.reactive.function.server.RequestPredicates;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;

/**
 * The dashboard: the page {@code GET /actuator/dashboard}, its assets, and the stream of samples that keeps it current. All assets are
 * in this jar.
 *
 * <p>
 * The page is rendered once per role at start-up. Asset URLs carry a hash of all assets, so browsers may keep them for ever. A stream
 * begins with the history of the last five minutes and continues with one sample per second; the number of streams is limited, and
 * each ends after 15 minutes or when this replica stops. Thread-safe.
 */
@WebEndpoint(id = "dashboard")
public final class DashboardController implements SmartLifecycle {

    private static final Duration KEEP_ALIVE_INTERVAL = Duration.ofSeconds(15);

    /** The page then opens a new stream. Bounds how long a client that is gone, or has lost its role, keeps a stream. */
    private static final Duration MAX_STREAM_DURATION = Duration.ofMinutes(15);

    /** Sent with 503 when all streams are in use. */
    private static final Duration RETRY_AFTER = Duration.ofSeconds(10);

    private static final MediaType JAVASCRIPT = MediaType.parseMediaType("text/javascript;charset=UTF-8");
    private static final MediaType CSS = MediaType.parseMediaType("text/css;charset=UTF-8");
    private static final MediaType SVG = MediaType.parseMediaType("image/svg+xml");

    /** The version must match the pom. */
    private static final String CHART_JS_RESOURCE = "/META-INF/resources/webjars/chart.js/4.5.1/dist/chart.umd.min.js";

    private record Asset(MediaType mediaType, ByteArrayResource content) {}

    private final FleetMonitor fleetMonitor;
    private final int maxStreams;
    private final Scheduler scheduler;
    private final Map<String, Asset> assets = new LinkedHashMap<>();
    private final String version;
    private final String viewerPage;
    private final String operatorPage;
    private final AtomicInteger openStreams = new AtomicInteger();
    private final Sinks.Empty<Void> stopSignal = Sinks.empty();
    private volatile boolean running;

    /**
     * @param fleetMonitor provides the samples
     * @param maxStreams   the maximum of concurrent streams; further requests get 503
     * @param scheduler    times the streams
     */
    public DashboardController(FleetMonitor fleetMonitor, int maxStreams, Scheduler scheduler) {
        this.fleetMonitor = fleetMonitor;
        this.maxStreams = maxStreams;
        this.scheduler = scheduler;
        for (String name : List.of("page.js", "fleet.js", "charts.js", "purge.js", "stream.js", "words.js")) {
            assets.put(name, new Asset(JAVASCRIPT, readResource("dashboard/" + name)));
        }
        assets.put("chart.js", new Asset(JAVASCRIPT, readResource(CHART_JS_RESOURCE)));
        assets.put("page.css", new Asset(CSS, readResource("dashboard/page.css")));
        assets.put("icon.svg", new Asset(SVG, readResource("dashboard/icon.svg")));
        this.version = assetHash(assets);
        // Relative, because a proxy may serve the management port under another path.
        String page = new String(readResource("dashboard/page.html").getByteArray(), StandardCharsets.UTF_8)
                .replace("@assets@", "dashboard/" + version);
        this.viewerPage = page.replace("@role@", "viewer");
        this.operatorPage = page.replace("@role@", "operator");
    }

    /** The page for the caller's role. A viewer's page has no actions. */
    @ReadOperation(produces = "text/html;charset=UTF-8")
    public String page(SecurityContext caller) {
        return caller.isUserInRole(ManagementRole.OPERATOR.name()) ? operatorPage : viewerPage;
    }

    /**
     * The routes below the page: the stream and the assets.
     *
     * @param base the path of the management endpoints, such as {@code /actuator}
     */
    public RouterFunction<ServerResponse> routes(String base) {
        String page = base + "/dashboard";
        return RouterFunctions.route()
                .GET(page + "/stream", request -> stream())
                .route(getOrHead(page + "/{version:[0-9a-f]+}/{name}"), this::asset)
                .GET(page + "/", request -> ServerResponse.status(HttpStatus.PERMANENT_REDIRECT)
                        .header(HttpHeaders.LOCATION, "../dashboard")
                        .build())
                .build();
    }

    private static RequestPredicate getOrHead(String pattern) {
        return RequestPredicates.methods(HttpMethod.GET, HttpMethod.HEAD).and(RequestPredicates.path(pattern));
    }

    // ---- assets

    private Mono<ServerResponse> asset(ServerRequest request) {
        boolean isCurrent = request.pathVariable("version").equals(version);
        // During a rolling upgrade a page of another version may request an asset: it gets the present one and must not keep it.
        CacheControl caching = isCurrent
                ? CacheControl.maxAge(Duration.ofDays(365)).cachePrivate().immutable()
                : CacheControl.noStore();
        return Optional.ofNullable(assets.get(request.pathVariable("name")))
                .map(asset -> ServerResponse.ok()
                        .cacheControl(caching)
                        .contentType(asset.mediaType)
                        .bodyValue(asset.content))
                .orElseGet(() -> ManagementExceptionHandler.problemResponse(HttpStatus.NOT_FOUND, "no-asset",
                        "The dashboard has no such file.",
                        Optional.empty()));
    }

    private static ByteArrayResource readResource(String name) {
        try (InputStream in = DashboardController.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IllegalStateException("missing on the class path: " + name);
            }
            return new ByteArrayResource(in.readAllBytes());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String assetHash(Map<String, Asset> assets) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            assets.values().forEach(asset -> digest.update(asset.content.getByteArray()));
            return HexFormat.of().formatHex(digest.digest(), 0, 6);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    // ---- the stream

    private Mono<ServerResponse> stream() {
        if (openStreams.get() >= maxStreams) {
            return ManagementExceptionHandler.problemResponse(HttpStatus.SERVICE_UNAVAILABLE, "too-many-streams",
                    "This replica already has " + maxStreams + " open dashboard streams, its maximum.",
                    Optional.of(RETRY_AFTER));
        }
        return ServerResponse.ok()
                .cacheControl(CacheControl.noStore())
                // Without this nginx would buffer the events.
                .header("X-Accel-Buffering", "no")
                .body(BodyInserters.fromServerSentEvents(events()));
    }

    /** Empty when another request took the last stream in the meantime. */
    private Flux<ServerSentEvent<String>> events() {
        return Flux.defer(() -> openStreams.incrementAndGet() > maxStreams ? Flux.empty() : historyAndSamples())
                .doFinally(signal -> openStreams.decrementAndGet());
    }

    private Flux<ServerSentEvent<String>> historyAndSamples() {
        Mono<ServerSentEvent<String>> history = fleetMonitor.history().map(points -> event("history", points));
        Flux<ServerSentEvent<String>> samples = fleetMonitor.samples().map(sample -> event("sample", sample));
        Flux<ServerSentEvent<String>> keepAlive = Flux.interval(KEEP_ALIVE_INTERVAL, scheduler)
                .onBackpressureDrop()
                .map(tick -> ServerSentEvent.<String>builder().comment("").build());
        return Flux.concat(history, Flux.merge(samples, keepAlive))
                .take(MAX_STREAM_DURATION, scheduler)
                .takeUntilOther(stopSignal.asMono());
    }

    private static ServerSentEvent<String> event(String name, String data) {
        return ServerSentEvent.<String>builder().event(name).data(data).build();
    }

    // ---- lifecycle

    @Override
    public void start() {
        running = true;
    }

    /** Ends the streams, because a graceful shutdown waits for open requests. */
    @Override
    public void stop() {
        running = false;
        stopSignal.tryEmitEmpty();
    }

    @Override
    public boolean isRunning() {
        return running;
    }
}
