package dev.corral.deploy;

import dev.corral.dev.ChildProcess;
import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FreePort;
import dev.corral.dev.RedisServer;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.util.FileSystemUtils;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/**
 * Checks the images without an engine: unpacks and combines the jars as the Dockerfile does, and runs its start and health commands.
 */
class ImageIT {

    private static final Dockerfile DOCKERFILE = Dockerfile.read();

    @TempDir
    private Path temp = Path.of("");

    /** With the settings of the chart, in the directory where the chart mounts them. */
    @Test
    void imageStartsServesAndStopsGracefully() throws Exception {
        try (DemoShop shop = DemoShop.start(Duration.ofMillis(1));
                EmbeddedRedis redis = RedisServer.embedded();
                HttpClient client = HttpClient.newHttpClient()) {
            Path home = assemble("corral", "corral.jar");
            Files.writeString(Files.createDirectory(home.resolve("config")).resolve("application.yml"),
                    HelmChart.render("""
                            routes: [{id: shop, origin: "%s"}]
                            redis: {host: "%s", port: %d, timeout: 5s}
                            """.formatted(shop.url(), redis.host(), redis.port())).settings());
            int port = FreePort.pick();
            int management = FreePort.pick();
            var health = Map.of("HEALTH_PORT", Integer.toString(management));
            assertThat(isHealthy("corral", health)).isFalse();

            try (ChildProcess replica = ChildProcess.start(home, entrypoint("corral", "--server.address=127.0.0.1",
                    "--management.server.address=127.0.0.1", "--server.port=" + port,
                    "--management.server.port=" + management))) {
                awaitHealthy("corral", health, replica);
                var response = client.send(
                        HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/products/1")).build(),
                        BodyHandlers.ofString());

                assertThat(response.statusCode()).isEqualTo(200);
                assertThat(response.headers().firstValue("Cache-Status").orElse("")).contains("stored");
                assertThat(shop.count("/products/1")).isEqualTo(1);
                replica.terminate(Duration.ofSeconds(30));
                assertThat(isHealthy("corral", health)).isFalse();
                assertThat(replica.logTail()).contains("Graceful shutdown complete").doesNotContain("WARNING:");
            }
        }
    }

    @Test
    void demoImageIsHealthyAndCounts() throws Exception {
        String port = Integer.toString(FreePort.pick());
        List<String> usual = DOCKERFILE.command("demo", "CMD");
        var health = Map.of("HEALTH_PORT", port, "HEALTH_PATH", "/count");
        Path home = assemble("demo", "corral.demo.jar");

        assertThat(usual).containsExactly("8090", "120", "0.0.0.0");
        assertThat(DOCKERFILE.last("demo", "ENV")).isEqualTo("HEALTH_PORT=8090 HEALTH_PATH=/count");
        try (ChildProcess shop = ChildProcess.start(home, entrypoint("demo", port, usual.get(1), "127.0.0.1"))) {
            awaitHealthy("demo", health, shop);

            assertThat(isHealthy("demo", Map.of("HEALTH_PORT", port, "HEALTH_PATH", "/nowhere"))).isFalse();
            assertThat(shop.logTail()).contains("http://127.0.0.1:" + port).doesNotContain("WARNING:");
        }
    }

    @Test
    void productionJarContainsNoDemoClasses() throws IOException {
        try (var production = new JarFile(property("corral.jar"));
                var demo = new JarFile(property("corral.demo.jar"))) {
            assertThat(production.stream())
                    .noneMatch(entry -> entry.getName().startsWith("BOOT-INF/classes/dev/corral/dev/"));
            assertThat(demo.stream()).anyMatch(entry -> entry.getName().endsWith("/DemoShop.class"))
                    .noneMatch(entry -> entry.getName().endsWith("/dev/corral/CorralApplication.class"));
        }
    }

    /** Applies the COPY instructions of the stage in order. */
    private Path assemble(String stage, String jar) throws Exception {
        Path layers = temp.resolve("layers");
        Process extract = new ProcessBuilder(java(), "-Djarmode=tools", "-jar", property(jar), "extract", "--layers",
                "--destination", layers.toString()).redirectErrorStream(true).start();
        assertThat(new String(extract.getInputStream().readAllBytes(), StandardCharsets.UTF_8)).doesNotContain("Error");
        assertThat(extract.waitFor()).isZero();
        Path home = Files.createDirectory(temp.resolve("home"));
        for (String copy : DOCKERFILE.all(stage, "COPY")) {
            Path source = Path.of(copy.substring(copy.indexOf(" ") + 1, copy.lastIndexOf(" ")));
            FileSystemUtils.copyRecursively(layers.resolve(source.getFileName()), home);
        }
        return home;
    }

    private static List<String> entrypoint(String stage, String... arguments) {
        var command = new ArrayList<>(DOCKERFILE.command(stage, "ENTRYPOINT"));
        command.set(0, java());
        command.addAll(List.of(arguments));
        return command;
    }

    private static void awaitHealthy(String stage, Map<String, String> environment, ChildProcess child) {
        await().atMost(Duration.ofSeconds(60)).pollInterval(Duration.ofMillis(200)).until(() -> {
            assertThat(child.isAlive()).as(child.logTail()).isTrue();
            return isHealthy(stage, environment);
        });
    }

    /** Runs the health check as the engine does. */
    private static boolean isHealthy(String stage, Map<String, String> environment)
            throws IOException, InterruptedException {
        var builder = new ProcessBuilder(DOCKERFILE.command(stage, "HEALTHCHECK"))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD);
        builder.environment().putAll(environment);
        Process check = builder.start();
        assertThat(check.waitFor(10, TimeUnit.SECONDS)).isTrue();
        return check.exitValue() == 0;
    }

    private static String java() {
        return Path.of(System.getProperty("java.home"), "bin", "java").toString();
    }

    private static String property(String name) {
        return Optional.ofNullable(System.getProperty(name))
                .orElseThrow(() -> new IllegalStateException("run by `mvnw verify`: there is no -D" + name));
    }
}
