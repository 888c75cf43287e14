package dev.corral.deploy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Checks the Dockerfile without an engine. {@link ImageIT} runs its commands as far as possible without one. */
class DockerfileTest {

    private final Dockerfile file = Dockerfile.read();

    /** The user is a number: a cluster that requires runAsNonRoot cannot resolve a name. */
    @ParameterizedTest
    @ValueSource(strings = {"corral", "demo"})
    void imagesRunAsNumericNonRootUser(String stage) {
        assertThat(file.last(stage, "USER")).matches("[1-9][0-9]{3,}:[1-9][0-9]{3,}");
    }

    @ParameterizedTest
    @ValueSource(strings = {"corral", "demo"})
    void entrypointHasProjectJvmFlags(String stage) {
        assertThat(file.command(stage, "ENTRYPOINT"))
                .containsSubsequence(List.of(ProjectPom.read("/project/properties/jvm.args").split(" ")))
                .startsWith("java");
    }

    /** Layers that change least come first. The loader is left out because the extracted jar does not use it. */
    @ParameterizedTest
    @ValueSource(strings = {"corral", "demo"})
    void imageLayersAreCopiedFromTheJar(String stage) {
        String from = "--from=build /build/target/layers/" + stage + "/";

        assertThat(file.all(stage, "COPY")).containsExactly(from + "dependencies/ ./",
                from + "snapshot-dependencies/ ./", from + "application/ ./");
    }

    @Test
    void lastStageIsCorral() {
        assertThat(Yaml.text(Path.of("Dockerfile")).lines().filter(line -> line.startsWith("FROM ")).toList().getLast())
                .endsWith(" AS corral");
    }

    /** Files that the build copies must not be ignored. */
    @Test
    void dockerignoreAdmitsEverythingTheBuildCopies() {
        List<String> ignored = Yaml.text(Path.of(".dockerignore"))
                .lines()
                .filter(line -> !line.startsWith("#"))
                .toList();

        assertThat(ignored).startsWith("*");
        assertThat(ignored.stream().skip(1)).allSatisfy(line -> {
            assertThat(line).startsWith("!");
            assertThat(Files.exists(Path.of(line.substring(1)))).isTrue();
        });
        assertThat(file.all("build", "COPY")
                .stream()
                .flatMap(copy -> List.of(copy.split(" ")).subList(0, copy.split(" ").length - 1).stream()))
                .allSatisfy(source -> assertThat(ignored).contains("!" + source));
    }
}
