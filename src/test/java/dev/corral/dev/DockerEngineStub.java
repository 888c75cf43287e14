package dev.corral.dev;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** An unusable Docker engine on a port of 127.0.0.1. It has no images and starts nothing. */
final class DockerEngineStub implements AutoCloseable {

    /** The fault of the engine. */
    enum DockerFault {
        /** Its registry rejects pulls: a pull limit, or no network. */
        PULL_FAILS,
        /** Its registry does not respond. */
        PULL_HANGS,
        /** It has all images but creates no container, not even Ryuk's. */
        CREATE_FAILS,
        /** Another service listens on its port. */
        GARBAGE,
        /** It accepts connections but never responds. */
        SILENT
    }

    private static final String INFO = """
            {"ID":"fake","OSType":"linux","OperatingSystem":"Fake","ServerVersion":"27.0.0","MemTotal":1073741824,"Labels":[]}
            """;
    private static final String VERSION = """
            {"Version":"27.0.0","ApiVersion":"1.46","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}
            """;

    private final DockerFault fault;
    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final CountDownLatch closed = new CountDownLatch(1);

    private DockerEngineStub(DockerFault fault) throws IOException {
        this.fault = fault;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    static DockerEngineStub start(DockerFault fault) {
        try {
            return new DockerEngineStub(fault);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The value of DOCKER_HOST. */
    String host() {
        return "tcp://127.0.0.1:" + server.getAddress().getPort();
    }

    @Override
    public void close() {
        closed.countDown();
        server.stop(0);
        threads.shutdownNow();
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            exchange.getRequestBody().readAllBytes();
            switch (fault) {
                case GARBAGE -> send(exchange, 200, "<html>Welcome to nginx!</html>", "text/html");
                case SILENT -> hang();
                case PULL_FAILS, PULL_HANGS, CREATE_FAILS -> asEngine(exchange);
            }
        }
    }

    private void asEngine(HttpExchange exchange) throws IOException {
        // Clients prepend a version: /v1.32/info.
        String path = exchange.getRequestURI().getPath().replaceFirst("^/v[0-9.]+", "");
        switch (path) {
            case "/_ping" -> send(exchange, 200, "OK", "text/plain");
            case "/info" -> send(exchange, 200, INFO, "application/json");
            case "/version" -> send(exchange, 200, VERSION, "application/json");
            case "/images/create" -> pull(exchange);
            case "/containers/create" -> send(exchange, 500, "{\"message\":\"no space left\"}", "application/json");
            default -> image(exchange);
        }
    }

    private void image(HttpExchange exchange) throws IOException {
        if (fault == DockerFault.CREATE_FAILS) {
            send(exchange, 200, "{\"Id\":\"sha256:fake\",\"Config\":{}}", "application/json");
        } else {
            send(exchange, 404, "{\"message\":\"No such image\"}", "application/json");
        }
    }

    private void pull(HttpExchange exchange) throws IOException {
        if (fault == DockerFault.PULL_HANGS) {
            hang();
        } else {
            send(exchange, 500, "{\"message\":\"toomanyrequests: You have reached your pull rate limit.\"}",
                    "application/json");
        }
    }

    private void hang() {
        try {
            closed.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void send(HttpExchange exchange, int status, String body, String type) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().add("Content-Type", type);
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
    }
}
