package dev.corral.testkit;

import dev.corral.CorralApplication;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/** A complete replica in this JVM, with its management port. */
public record InProcessReplica(ConfigurableApplicationContext context, HttpClient http) implements AutoCloseable {

    /** Starts a replica with these settings, which must include Redis and a route. */
    public static InProcessReplica start(Map<String, String> settings, String... more) {
        var arguments = new ArrayList<String>();
        settings.forEach((name, value) -> arguments.add("--" + name + "=" + value));
        // A slow machine is not a slow origin: many tests hold a response back until a condition holds.
        settings.keySet()
                .stream()
                .filter(name -> name.matches("corral\\.routes\\[\\d+]\\.origin"))
                .map(name -> name.replace("origin", "timeout"))
                .filter(name -> !settings.containsKey(name))
                .forEach(name -> arguments.add("--" + name + "=60s"));
        // It is not a lost Redis either.
        arguments.addAll(List.of("--server.port=0", "--management.server.port=0", "--spring.data.redis.timeout=5s",
                "--spring.data.redis.connect-timeout=5s"));
        arguments.addAll(List.of(more));
        return new InProcessReplica(
                new SpringApplicationBuilder(CorralApplication.class).run(arguments.toArray(String[]::new)),
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build());
    }

    /** A Redis that ends with this JVM at the latest. */
    public static EmbeddedRedis startRedis() {
        return RedisServer.embedded();
    }

    public int port() {
        return context.getEnvironment().getRequiredProperty("local.server.port", Integer.class);
    }

    public int managementPort() {
        return context.getEnvironment().getRequiredProperty("local.management.port", Integer.class);
    }

    /** Sends a request to the data port. */
    public HttpResponse<String> request(String method, String target, String... fields) {
        return send("http://127.0.0.1:" + port() + target, method, "", fields);
    }

    /** Sends a request to the data port without waiting. */
    public CompletableFuture<HttpResponse<String>> requestAsync(String target) {
        var response = new CompletableFuture<HttpResponse<String>>();
        Thread.ofVirtual().start(() -> {
            try {
                response.complete(request("GET", target));
            } catch (RuntimeException e) {
                response.completeExceptionally(e);
            }
        });
        return response;
    }

    /** Sends a request to the management port. */
    public HttpResponse<String> requestManagement(String method, String target, String... fields) {
        return send("http://127.0.0.1:" + managementPort() + target, method, "", fields);
    }

    /** Posts JSON to the management port. */
    public HttpResponse<String> postJson(String target, String json, String... fields) {
        var all = new ArrayList<>(List.of("Content-Type", "application/json"));
        all.addAll(List.of(fields));
        return send("http://127.0.0.1:" + managementPort() + target, "POST", json, all.toArray(String[]::new));
    }

    /** Sends the characters unchanged to the management port and returns everything received until the connection is closed. */
    public String sendRaw(String text) {
        try (var socket = new Socket(InetAddress.getLoopbackAddress(), managementPort())) {
            socket.setSoTimeout(30_000);
            socket.getOutputStream().write(text.getBytes(StandardCharsets.ISO_8859_1));
            socket.getOutputStream().flush();
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private HttpResponse<String> send(String url, String method, String body, String... fields) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url))
                .timeout(Duration.ofSeconds(30))
                .method(method, body.isEmpty() ? BodyPublishers.noBody() : BodyPublishers.ofString(body));
        for (int i = 0; i < fields.length; i += 2) {
            request.header(fields[i], fields[i + 1]);
        }
        try {
            return http.send(request.build(), BodyHandlers.ofString());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    /** The value of an Authorization field. */
    public static String basicAuthorization(String name, String password) {
        return "Basic " + Base64.getEncoder().encodeToString((name + ":" + password).getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void close() {
        context.close();
        http.close();
    }
}
