package dev.corral.dev;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(180)
class TestCorralTest {

    @Test
    void testRunServesDemoShopAndPrintsHints() throws Exception {
        int shopPort = FreePort.pick();
        try (HttpClient client = HttpClient.newHttpClient();
                ReplicaProcess corral = ReplicaProcess.start(ReplicaProcess.mainClass(TestCorral.class),
                        Map.of("dev.redis.kind", "embedded",
                                "dev.shop.port", Integer.toString(shopPort), "dev.shop.latency", "1ms"))) {
            corral.awaitReady(Duration.ofSeconds(150));

            HttpResponse<String> first = get(client, corral.url() + "/products/1");
            HttpResponse<String> second = get(client, corral.url() + "/products/1");

            assertThat(first.statusCode()).isEqualTo(200);
            assertThat(cacheStatus(first)).contains("fwd=uri-miss", "stored");
            assertThat(cacheStatus(second)).contains("; hit");
            assertThat(second.body()).isEqualTo(first.body());
            assertThat(get(client, "http://127.0.0.1:" + shopPort + "/count").body()).contains("\"/products/1\":1");
            Eventually.await("the invitation is printed", Duration.ofSeconds(30), () -> corral.process()
                    .logTail()
                    .contains("curl -i http://localhost:" + corral.port() + "/products/1"));
            assertThat(corral.process().logTail()).contains("management: " + corral.managementPort(),
                    "curl -s http://127.0.0.1:" + shopPort + "/count", "an embedded redis-server");
        }
    }

    private static HttpResponse<String> get(HttpClient client, String url) throws Exception {
        return client.send(HttpRequest.newBuilder(URI.create(url)).build(), BodyHandlers.ofString());
    }

    private static String cacheStatus(HttpResponse<?> response) {
        return response.headers().firstValue("Cache-Status").orElse("");
    }
}
