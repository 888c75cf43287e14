package dev.corral.deploy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.marcnuri.helm.Helm;
import com.marcnuri.helm.LintResult;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.springframework.util.FileSystemUtils;

/** The chart helm/corral, rendered by Helm in this process. */
final class HelmChart {

    static final Path HOME = Path.of("helm", "corral");

    /** The minimal values for rendering. */
    static final String MINIMAL_VALUES = """
            routes:
              - id: shop
                origin: http://shop:8080
            redis:
              host: redis.example
            """;

    /** The Kubernetes version that Chart.yaml requires; by default Helm assumes one that is years old. */
    private static final String MIN_KUBERNETES_VERSION = "1.27.0";

    private HelmChart() {}

    /**
     * Renders the release {@code shop} in the namespace {@code web} with these values over the chart's defaults.
     *
     * @throws IllegalStateException with Helm's message when it rejects them
     */
    static KubernetesManifests render(String values) {
        return render("shop", values);
    }

    /** Renders a release with this name. */
    static KubernetesManifests render(String release, String values) {
        Path file = newFile(values);
        try {
            String all = new Helm(HOME).template()
                    .withName(release)
                    .withNamespace("web")
                    .withKubeVersion(MIN_KUBERNETES_VERSION)
                    .withValuesFile(file)
                    .call();
            return KubernetesManifests.read(all);
        } finally {
            remove(file);
        }
    }

    /** The result of Helm's lint with these values as defaults; warnings are failures. */
    static LintResult lint(String values) {
        Path home = newHome();
        try {
            // Lint requires a directory with the chart's name.
            Path copy = home.resolve("corral");
            FileSystemUtils.copyRecursively(HOME, copy);
            var merged = Yaml.merge((ObjectNode) Yaml.read(HOME.resolve("values.yaml")), Yaml.read(values));
            Files.writeString(copy.resolve("values.yaml"), Yaml.write(merged));
            return new Helm(copy).lint().strict().call();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } finally {
            remove(home);
        }
    }

    private static Path newHome() {
        try {
            return Files.createTempDirectory("chart-");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Path newFile(String text) {
        try {
            return Files.writeString(Files.createTempFile("values-", ".yaml"), text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void remove(Path path) {
        try {
            FileSystemUtils.deleteRecursively(path);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
