package dev.corral.config;

import dev.corral.proxy.CacheController;
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
 * Sends requests to this replica before it is ready, until responses no longer get faster, so that the first stampede runs on
 * compiled code. An {@code ApplicationRunner}: Spring Boot reports readiness after it, when the port is already listening.
 *
 * <p>The requests arrive at the data port, below a path that contains a secret of this process, and go through two
 * {@link WarmUpPipeline}s to a {@link WarmUpOrigin}. They are not counted, not logged, and not visible to operators. Entries have a
 * TTL of 5 s in Redis, markers for bodies too large to be stored of 1 s, and no purge is written. A failure ends the warm-up, never
 * the start.
 */
final class WarmUpRunner implements ApplicationRunner, ApplicationListener<ContextClosedEvent> {

    private static final Logger log = LoggerFactory.getLogger(WarmUpRunner.class);

    /** Rounds that are compared with as many before them. The compiler works in bursts, so single rounds are noise. */
    private static final int WINDOW_ROUNDS = 8;

    /** The warm-up ends when a window saves less than this part of the time of the previous one. */
    private static final double MIN_SPEEDUP_RATIO = 0.05;

    /** How long flights of the last round may take to end. Their origin responds within milliseconds. */
    private static final Duration FLIGHT_DRAIN_TIMEOUT = Duration.ofSeconds(1);

    private final CorralProperties.WarmUpProperties properties;
    private final CacheController controller;
    private final ApplicationContext context;
    private final Optional<ServerProperties> serverProperties;
    private final BiFunction<String, String, WarmUpPipeline> pipelineFactory;
    private final Sinks.Empty<Void> stopSignal = Sinks.empty();

    /**
     * @param controller       of the data port
     * @param context          of the data port
     * @param serverProperties of the data port; empty for the defaults
     * @param pipelineFactory  creates a pipeline for a path prefix and the URL of an origin
     */
    WarmUpRunner(CorralProperties.WarmUpProperties properties, CacheController controller, ApplicationContext context,
            Optional<ServerProperties> serverProperties, BiFunction<String, String, WarmUpPipeline> pipelineFactory) {
        this.properties = properties;
        this.controller = controller;
        this.context = context;
        this.serverProperties = serverProperties;
        this.pipelineFactory = pipelineFactory;
    }

    /** Ends the warm-up at once when the replica is stopped. */
    @Override
    public void onApplicationEvent(ContextClosedEvent event) {
        if (event.getApplicationContext().equals(context)) {
            stopSignal.tryEmitEmpty();
        }
    }

    @Override
    public void run(ApplicationArguments arguments) {
        if (properties.enabled() && context instanceof WebServerApplicationContext web) {
            warmUp(web.getWebServer().getPort());
        }
    }

    private void warmUp(int port) {
        String prefix = "/warm-up-" + UUID.randomUUID() + "/";
        log.info("Warming up for at most {} ms; not ready until then", properties.max().toMillis());
        try (var origin = new WarmUpOrigin(prefix);
                WarmUpPipeline first = pipelineFactory.apply(prefix, origin.url());
                WarmUpPipeline second = pipelineFactory.apply(prefix, origin.url());
                var client = new WarmUpClient(prefix, serverAddress(port), Ssl.isEnabled(serverSsl()))) {
            controller.overrideController(request -> request.getPath().value().startsWith(prefix)
                    ? Optional.of((isForSecondPipeline(request) ? second : first).controller())
                    : Optional.empty());
            List<Duration> rounds = runRounds(client);
            Mono.fromSupplier(() -> first.isIdle() && second.isIdle())
                    .repeatWhen(again -> again.delayElements(Duration.ofMillis(10)))
                    .takeUntil(idle -> idle)
                    .take(FLIGHT_DRAIN_TIMEOUT)
                    .blockLast();
            logResult(client, rounds);
        } catch (RuntimeException e) {
            log.warn("The warm-up failed: the first requests will take longer", e);
        } finally {
            controller.overrideController(request -> Optional.empty());
        }
    }

    private static boolean isForSecondPipeline(ServerHttpRequest request) {
        return request.getURI().getRawQuery() != null;
    }

    /** Returns the duration of each round. */
    private List<Duration> runRounds(WarmUpClient client) {
        var times = new ArrayList<Duration>();
        Flux.range(0, Integer.MAX_VALUE)
                .concatMap(number -> client.runRound(number).thenReturn(number).elapsed(), 0)
                .doOnNext(round -> times.add(Duration.ofMillis(round.getT1())))
                .takeUntil(round -> hasConverged(times))
                .take(properties.max())
                .takeUntilOther(stopSignal.asMono())
                .blockLast(properties.max().plus(FLIGHT_DRAIN_TIMEOUT));
        return times;
    }

    /** Whether the last rounds were not faster than those before them. */
    static boolean hasConverged(List<Duration> rounds) {
        int count = rounds.size();
        if (count < 2 * WINDOW_ROUNDS) {
            return false;
        }
        Duration before = median(rounds.subList(count - 2 * WINDOW_ROUNDS, count - WINDOW_ROUNDS));
        Duration last = median(rounds.subList(count - WINDOW_ROUNDS, count));
        return last.toNanos() > before.toNanos() * (1 - MIN_SPEEDUP_RATIO);
    }

    private static Duration median(List<Duration> rounds) {
        return rounds.stream().sorted().skip(rounds.size() / 2).findFirst().orElseThrow();
    }

    private static void logResult(WarmUpClient client, List<Duration> rounds) {
        String times = Stream.of(rounds.stream().findFirst(), rounds.reversed().stream().findFirst())
                .map(round -> round.map(time -> time.toMillis() + " ms").orElse("none"))
                .reduce((first, last) -> first + ", the last " + last)
                .orElseThrow();
        log.info("Warmed up: {} responses in {} rounds; the first took {}", client.responseCount(), rounds.size(),
                times);
    }

    private InetSocketAddress serverAddress(int port) {
        InetAddress bound = serverProperties.map(ServerProperties::getAddress).orElse(null);
        return new InetSocketAddress(
                bound == null || bound.isAnyLocalAddress() ? InetAddress.getLoopbackAddress() : bound,
                port);
    }

    private @Nullable Ssl serverSsl() {
        return serverProperties.map(ServerProperties::getSsl).orElse(null);
    }
}
