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

/** The demo shop as a JVM of its own, so that it shares neither compiler nor collector with those who ask it. */
final class ShopProcess implements AutoCloseable {

    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Path home;
    private final Child child;
    private final int port;

    private ShopProcess(Path home, Child child, int port) {
        this.home = home;
        this.child = child;
        this.port = port;
    }

    /** Opens the shop and returns when it answers. */
    static ShopProcess open(Duration latency, String... jvmFlags) {
        int port = FreePort.pick();
        var command = new ArrayList<>(Replica.mainClass(DemoShop.class, jvmFlags));
        command.add(Integer.toString(port));
        command.add(Long.toString(latency.toMillis()));
        Path home = Child.newHome("shop");
        var shop = new ShopProcess(home, Child.start(home, command), port);
        Patience.await("the shop is open", PATIENCE, shop::answers);
        return shop;
    }

    int port() {
        return port;
    }

    String url() {
        return "http://127.0.0.1:" + port;
    }

    /** How many requests came since the last reset, for whatever. */
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
        Child.removeHome(home);
    }

    private boolean answers() {
        if (!child.alive()) {
            throw new IllegalStateException("the shop did not open:\n" + child.tail());
        }
        try {
            get("/count");
            return true;
        } catch (UncheckedIOException notYet) {
            return false;
        }
    }

    private String get(String path) {
        try (InputStream answer = URI.create(url() + path).toURL().openStream()) {
            return new String(answer.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("the shop does not answer", e);
        }
    }
}
