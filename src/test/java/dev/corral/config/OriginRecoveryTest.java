package dev.corral.config;

import com.sun.net.httpserver.HttpServer;
import dev.corral.dev.FreePort;
import dev.corral.testkit.InProcessReplica;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/** An origin that is down for some seconds, such as during a deployment with one Pod, under a load of cold keys. */
@Timeout(120)
class OriginRecoveryTest {

    private static final Duration OUTAGE_DURATION = Duration.ofSeconds(5);

    /** Twice the outage, and some seconds for a busy machine. With Resilience4j's defaults it would be a minute. */
    private static final Duration MAX_RECOVERY_TIME = Duration.ofSeconds(20);

    /** Closing it closes its connections, as the end of a process does. */
    private static HttpServer origin(int port) throws IOException {
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", exchange -> {
            exchange.getResponseHeaders().set("Cache-Control", "max-age=60");
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write(new byte[]{'o', 'k'});
            exchange.close();
        });
        server.start();
        return server;
    }

    @Test
    void recoveredOriginIsRequestedAgainWithinSeconds() throws Exception {
        int port = FreePort.pick();
        int key = 0;
        var settings = new LinkedHashMap<String, String>();
        try (var redis = InProcessReplica.startRedis()) {
            settings.putAll(redis.settings());
            settings.putAll(
                    Map.of("corral.routes[0].id", "shop", "corral.routes[0].origin", "http://127.0.0.1:" + port));
            HttpServer before = origin(port);
            try (var replica = InProcessReplica.start(settings)) {
                for (int i = 0; i < 20; i++) {
                    assertThat(replica.request("GET", "/" + ++key).statusCode()).isEqualTo(200);
                }
                before.stop(0);
                int shut = 0;
                long away = System.nanoTime();
                while (System.nanoTime() - away < OUTAGE_DURATION.toNanos()) {
                    var response = replica.request("GET", "/" + ++key);
                    assertThat(response.statusCode()).isIn(502, 503);
                    if (response.statusCode() == 503) {
                        shut++;
                        assertThat(response.headers().firstValue("Retry-After").map(Integer::parseInt).orElse(0))
                                .isBetween(1, 10);
                    }
                    Thread.sleep(20);
                }
                assertThat(shut).as("requests spared while the origin was away").isPositive();

                HttpServer after = origin(port);
                try {
                    long back = System.nanoTime();
                    while (replica.request("GET", "/" + ++key).statusCode() != 200) {
                        assertThat(Duration.ofNanos(System.nanoTime() - back)).isLessThan(MAX_RECOVERY_TIME);
                        Thread.sleep(20);
                    }
                    System.out.println(
                            "asked again after " + Duration.ofNanos(System.nanoTime() - back).toMillis() + " ms");
                    for (int i = 0; i < 50; i++) {
                        assertThat(replica.request("GET", "/" + ++key).statusCode()).isEqualTo(200);
                    }
                } finally {
                    after.stop(0);
                }
            }
        }
    }
}
