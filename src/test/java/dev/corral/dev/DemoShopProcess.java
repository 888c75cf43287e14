package dev.corral.dev;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Map;
import org.springframework.boot.json.JsonParserFactory;

/** The demo shop in a separate JVM, so that it shares neither compiler nor garbage collector with its clients. */
final class DemoShopProcess implements AutoCloseable {

    private static final Duration START_TIMEOUT = Duration.ofSeconds(30);

    private final Path home;
    private final ChildProcess child;
    private final int port;

    private DemoShopProcess(Path home, ChildProcess child, int port) {
        this.home = home;
        this.child = child;
        this.port = port;
    }

    /** Starts the shop and returns when it responds. */
    static DemoShopProcess open(Duration latency, String... jvmFlags) {
        int port = FreePort.pick();
        var command = new ArrayList<>(ReplicaProcess.mainClass(DemoShop.class, jvmFlags));
        command.add(Integer.toString(port));
        command.add(Long.toString(latency.toMillis()));
        Path home = ChildProcess.newHome("shop");
        var shop = new DemoShopProcess(home, ChildProcess.start(home, command), port);
        Eventually.await("the shop is open", START_TIMEOUT, shop::isResponding);
        return shop;
    }

    int port() {
        return port;
    }

    String url() {
        return "http://127.0.0.1:" + port;
    }

    /** The number of all requests since the last reset. */
    long count() {
        Map<String, Object> counts = JsonParserFactory.getJsonParser().parseMap(get("/count"));
        return counts.get("total") instanceof Number total ? total.longValue() : 0;
    }

    void reset() {
        get("/reset");
    }

    @Override
    public void close() {
        child.kill();
        ChildProcess.removeHome(home);
    }

    private boolean isResponding() {
        if (!child.isAlive()) {
            throw new IllegalStateException("the shop did not open:\n" + child.logTail());
        }
        try {
            get("/count");
            return true;
        } catch (UncheckedIOException notYet) {
            return false;
        }
    }

    private String get(String path) {
        try (InputStream response = URI.create(url() + path).toURL().openStream()) {
            return new String(response.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("the shop does not answer", e);
        }
    }
}
