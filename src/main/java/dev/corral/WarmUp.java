package dev.corral;

import dev.corral.edge.EdgeController;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.BiFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.ApplicationArguments;
import org.springframework.boot.ApplicationRunner;
import org.springframework.boot.autoconfigure.web.ServerProperties;
import org.springframework.boot.web.context.WebServerApplicationContext;
import org.springframework.boot.web.server.Ssl;
import org.springframework.context.ApplicationContext;
import org.springframework.context.ApplicationListener;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.http.server.reactive.ServerHttpRequest;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;

/**
 * Sends requests to this replica before it is ready, until it responds no faster, so that the first stampede meets compiled code.
 * A runner: Spring Boot reports readiness after it, and the port listens already.
 *
 * <p>The requests come in at the clients' port, under a path that contains a secret of this process, and go through two
 * {@link WarmUpPipeline}s to a {@link WarmUpOrigin}. Nothing of it is counted, logged, or visible to operators. Entries in Redis
 * live for 5 s, markers of what is too large to be stored for 30 s, and no purge is written. What fails ends the warm-up, never the start.
 */
final class WarmUp implements ApplicationRunner, ApplicationListener<ContextClosedEvent> {

    private static final Logger log = LoggerFactory.getLogger(WarmUp.class);

    /** Rounds that are compared with as many before them: the compiler works in bursts, and one round is noise. */
    private static final int WINDOW = 8;

    /** Less than this part of the time saved between two windows is no progress. */
    private static final double PROGRESS = 0.05;

    /** How long flights that the last round has left may take to end: their origin responds within milliseconds. */
    private static final Duration LANDING = Duration.ofSeconds(1);

    private final Settings.WarmUp settings;
    private final EdgeController controller;
    private final ApplicationContext context;
    private final Optional<ServerProperties> server;
    private final BiFunction<String, String, WarmUpPipeline> pipelines;
    private final Sinks.Empty<Void> stopped = Sinks.empty();

    /**
     * @param controller of the clients' port
     * @param context    of the clients' port
     * @param server     empty: the server's defaults
     * @param pipelines  makes one for a prefix of paths and the URL of an origin
     */
    WarmUp(Settings.WarmUp settings, EdgeController controller, ApplicationContext context,
            Optional<ServerProperties> server, BiFunction<String, String, WarmUpPipeline> pipelines) {
        this.settings = settings;
        this.controller = controller;
        this.context = context;
        this.server = server;
        this.pipelines = pipelines;
    }

    /** A replica that is told to stop meanwhile does so at once. */
    @Override
    public void onApplicationEvent(ContextClosedEvent event) {
        if (event.getApplicationContext().equals(context)) {
            stopped.tryEmitEmpty();
        }
    }

    @Override
    public void run(ApplicationArguments arguments) {
        if (settings.enabled() && context instanceof WebServerApplicationContext web) {
            warmUp(web.getWebServer().getPort());
        }
    }

    private void warmUp(int port) {
        String prefix = "/warm-up-" + UUID.randomUUID() + "/";
        log.info("Warming up for {} ms at most; not ready until then", settings.max().toMillis());
        try (var origin = new WarmUpOrigin(prefix);
                WarmUpPipeline first = pipelines.apply(prefix, origin.url());
                WarmUpPipeline second = pipelines.apply(prefix, origin.url());
                var load = new WarmUpLoad(prefix, address(port), Ssl.isEnabled(ssl()))) {
            controller.divert(request -> request.getPath().value().startsWith(prefix)
                    ? Optional.of((isForSecond(request) ? second : first).controller())
                    : Optional.empty());
            List<Duration> rounds = rounds(load);
            Mono.fromSupplier(() -> first.isIdle() && second.isIdle())
                    .repeatWhen(again -> again.delayElements(Duration.ofMillis(10)))
                    .takeUntil(idle -> idle)
                    .take(LANDING)
                    .blockLast();
            report(load, rounds);
        } catch (RuntimeException failed) {
            log.warn("The warm-up ended early: the first requests will take longer", failed);
        } finally {
            controller.divert(request -> Optional.empty());
        }
    }

    private static boolean isForSecond(ServerHttpRequest request) {
        return request.getURI().getRawQuery() != null;
    }

    /** The time of each round. */
    private List<Duration> rounds(WarmUpLoad load) {
        var times = new ArrayList<Duration>();
        Flux.range(0, Integer.MAX_VALUE)
                .concatMap(number -> load.round(number).thenReturn(number).elapsed(), 0)
                .doOnNext(round -> times.add(Duration.ofMillis(round.getT1())))
                .takeUntil(round -> isAsFastAsItGets(times))
                .take(settings.max())
                .takeUntilOther(stopped.asMono())
                .blockLast(settings.max().plus(LANDING));
        return times;
    }

    /** Whether the last rounds were no faster than those before them. */
    static boolean isAsFastAsItGets(List<Duration> rounds) {
        int count = rounds.size();
        if (count < 2 * WINDOW) {
            return false;
        }
        Duration before = median(rounds.subList(count - 2 * WINDOW, count - WINDOW));
        Duration last = median(rounds.subList(count - WINDOW, count));
        return last.toNanos() > before.toNanos() * (1 - PROGRESS);
    }

    private static Duration median(List<Duration> rounds) {
        return rounds.stream().sorted().skip(rounds.size() / 2).findFirst().orElseThrow();
    }

    private static void report(WarmUpLoad load, List<Duration> rounds) {
        String times = Stream.of(rounds.stream().findFirst(), rounds.reversed().stream().findFirst())
                .map(round -> round.map(time -> time.toMillis() + " ms").orElse("none"))
                .reduce((first, last) -> first + ", the last " + last)
                .orElseThrow();
        log.info("Warmed up: {} responses in {} rounds; the first took {}", load.responses(), rounds.size(), times);
    }

    private InetSocketAddress address(int port) {
        InetAddress bound = server.map(ServerProperties::getAddress).orElse(null);
        return new InetSocketAddress(
                bound == null || bound.isAnyLocalAddress() ? InetAddress.getLoopbackAddress() : bound,
                port);
    }

    private @Nullable Ssl ssl() {
        return server.map(ServerProperties::getSsl).orElse(null);
    }
}
