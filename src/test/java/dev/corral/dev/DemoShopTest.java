package dev.corral.dev;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

@Timeout(30)
class DemoShopTest {

    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final DemoShop shop = DemoShop.start(Duration.ZERO);

    @AfterEach
    void close() {
        shop.close();
        client.close();
    }

    @Test
    void productResponseIsIdenticalForAllClients() throws Exception {
        HttpResponse<String> first = get("/products/1");
        HttpResponse<String> second = get("/products/1");

        assertThat(first.statusCode()).isEqualTo(200);
        assertThat(first.body()).isEqualTo(second.body()).contains("\"id\": \"1\"").hasSizeBetween(900, 1_400);
        assertThat(field(first, "Cache-Control")).isEqualTo("max-age=60");
        assertThat(field(first, "ETag")).isEqualTo(field(second, "ETag")).startsWith("\"");
        assertThat(field(second, "X-Shop-Request")).isEqualTo("2");
        assertThat(field(get("/products/2"), "ETag")).isNotEqualTo(field(first, "ETag"));
    }

    @Test
    void matchingEtagIsNotModified() throws Exception {
        String etag = field(get("/products/1"), "ETag");

        HttpResponse<String> unchanged = get("/products/1", "If-None-Match", etag);

        assertThat(unchanged.statusCode()).isEqualTo(304);
        assertThat(unchanged.body()).isEmpty();
        assertThat(field(unchanged, "ETag")).isEqualTo(etag);
        assertThat(unchanged.headers().map()).doesNotContainKeys("content-length", "transfer-encoding");
        assertThat(get("/products/1", "If-None-Match", "\"other\"").statusCode()).isEqualTo(200);
    }

    @Test
    void headResponseHasLengthWithoutBody() throws Exception {
        HttpResponse<String> head = client.send(HttpRequest.newBuilder(URI.create(shop.url() + "/products/1"))
                .method("HEAD", BodyPublishers.noBody())
                .build(), BodyHandlers.ofString());

        assertThat(head.body()).isEmpty();
        assertThat(Integer.parseInt(field(head, "Content-Length"))).isEqualTo(get("/products/1").body().length());
    }

    @ParameterizedTest
    @ValueSource(strings = {"/private/cart", "/session/cart", "/slow/1/private/cart"})
    void privateResponsesDiffer(String path) throws Exception {
        assertThat(get(path).body()).isNotEqualTo(get(path).body());
    }

    @Test
    void responsesDeclarePrivateCookieAndVary() throws Exception {
        assertThat(field(get("/private/cart"), "Cache-Control")).isEqualTo("private");
        assertThat(field(get("/session/cart"), "Set-Cookie")).startsWith("session=");
        HttpResponse<String> german = get("/vary/hello", "Accept-Language", "de-AT, en;q=0.5");
        assertThat(field(german, "Vary")).isEqualTo("Accept-Language");
        assertThat(german.body()).startsWith("Willkommen");
        assertThat(get("/vary/hello", "Accept-Language", "tlh").body()).startsWith("Welcome");
    }

    @Test
    void flakyPathFailsOnFirstRequest() throws Exception {
        assertThat(get("/flaky/a").statusCode()).isEqualTo(500);
        assertThat(get("/flaky/a").statusCode()).isEqualTo(200);
        assertThat(get("/flaky/b").statusCode()).isEqualTo(500);
    }

    @Test
    void latencyIsSetByShopOrPath() throws Exception {
        try (DemoShop slow = DemoShop.start(Duration.ofMillis(80))) {
            assertThat(millis(slow.url() + "/products/1")).isGreaterThanOrEqualTo(80);
            assertThat(millis(slow.url() + "/slow/160/products/1")).isGreaterThanOrEqualTo(160);
        }
    }

    @Test
    void bigPathReturnsRequestedSize() throws Exception {
        assertThat(get("/big/100000").body()).hasSize(100_000).startsWith("abc");
        assertThat(get("/big/0").body()).isEmpty();
        assertThat(get("/big/much").statusCode()).isEqualTo(404);
    }

    @Test
    void otherMethodsReportTheirBodySize() throws Exception {
        HttpResponse<String> posted = client.send(HttpRequest.newBuilder(URI.create(shop.url() + "/products/1"))
                .POST(BodyPublishers.ofString("12345"))
                .build(), BodyHandlers.ofString());

        assertThat(posted.body()).isEqualTo("POST of 5 bytes");
        assertThat(field(posted, "Cache-Control")).isEqualTo("no-store");
    }

    @Test
    void countEndpointIsNotCounted() throws Exception {
        get("/products/1");
        get("/products/1?size=2");
        get("/products/1");
        get("/nowhere");

        assertThat(get("/count").body()).isEqualTo(
                "{\"total\":4,\"paths\":{\"/nowhere\":1,\"/products/1\":2,\"/products/1?size=2\":1}}\n");
        assertThat(shop.count()).isEqualTo(4);
        assertThat(shop.count("/products/1")).isEqualTo(2);

        assertThat(get("/reset").statusCode()).isEqualTo(204);
        assertThat(shop.count()).isZero();
        assertThat(shop.count("/products/1")).isZero();
    }

    @Test
    void concurrentRequestsAreAllCounted() {
        var responses = IntStream.range(0, 200)
                .mapToObj(i -> client.sendAsync(request("/products/1"), BodyHandlers.discarding()))
                .toList();
        responses.forEach(response -> assertThat(response.join().statusCode()).isEqualTo(200));

        assertThat(shop.count("/products/1")).isEqualTo(200);
    }

    @Test
    void scriptedPathReturnsScriptedResponse() throws Exception {
        shop.respondWith("/teapot", StubResponse.of(418, "short", "Warning", "hot").chunked());
        shop.script("/numbered",
                received -> Mono.just(StubResponse.of(200, received.method() + " " + received.number())));

        HttpResponse<String> teapot = get("/teapot?any=query");
        assertThat(teapot.statusCode()).isEqualTo(418);
        assertThat(teapot.body()).isEqualTo("short");
        assertThat(field(teapot, "Transfer-Encoding")).isEqualTo("chunked");
        assertThat(get("/numbered").body()).isEqualTo("GET 1");
        assertThat(get("/numbered").body()).isEqualTo("GET 2");
    }

    @Test
    void failingScriptClosesTheConnection() throws Exception {
        shop.script("/gone", received -> Mono.error(new IOException("scripted")));
        shop.respondWith("/half", StubResponse.of(200, "")
                .withBody(Flux.concat(
                        Flux.just("half".getBytes(StandardCharsets.UTF_8)), Flux.error(new IOException("scripted")))));

        assertThatThrownBy(() -> get("/gone")).isInstanceOf(IOException.class);
        try (InputStream body = client.send(request("/half"), BodyHandlers.ofInputStream()).body()) {
            assertThat(body.readNBytes(4)).asString().isEqualTo("half");
            assertThatThrownBy(body::read).isInstanceOf(IOException.class);
        }
    }

    private HttpResponse<String> get(String target, String... fields) throws IOException, InterruptedException {
        HttpRequest request = request(target, fields);
        return client.send(request, BodyHandlers.ofString());
    }

    private HttpRequest request(String target, String... fields) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(shop.url() + target));
        return fields.length == 0 ? request.build() : request.headers(fields).build();
    }

    private long millis(String url) throws IOException, InterruptedException {
        long began = System.nanoTime();
        client.send(HttpRequest.newBuilder(URI.create(url)).build(), BodyHandlers.discarding());
        return (System.nanoTime() - began) / 1_000_000;
    }

    private static String field(HttpResponse<?> response, String name) {
        return response.headers().firstValue(name).orElseThrow();
    }
}
