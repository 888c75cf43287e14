package dev.corral.cache;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static java.util.stream.Collectors.toSet;
import static org.assertj.core.api.Assertions.assertThat;

/** The behaviors of the public conformance suite that the caching rules decide, run on the rules alone. */
class ConformanceTest {

    /** Tests of the suite without a scenario, with the reasons. */
    private static final Set<String> EXCLUDED_IDS = Set.of(
            // Relaying 1xx is done by the server; interim-not-cached checks that none is stored.
            "interim-102", "interim-103", "interim-no-header-reuse",
            // A shared fetch requests the full response, and ranges are cut from it. The partial responses of the suite's origin
            // are invalid anyway.
            "partial-store-partial-reuse-partial", "partial-store-partial-reuse-partial-byterange",
            "partial-store-partial-reuse-partial-absent", "partial-store-partial-reuse-partial-suffix",
            "partial-store-partial-complete",
            // Off by default: a leaked session is worse than a miss.
            "other-set-cookie",
            // Requires a search among variants; Corral finds a variant by the hash of its selecting fields.
            "vary-normalise-lang-select");

    static Stream<CacheScenario> scenarios() {
        return Stream.concat(FreshnessScenarios.all(), ReuseScenarios.all());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("scenarios")
    void conformanceScenarioHolds(CacheScenario scenario) {
        scenario.run();
    }

    @Test
    void everyRequiredAndOptimalSuiteTestHasAScenario() throws IOException {
        Set<String> scenarioIds = scenarios().map(CacheScenario::id).collect(toSet());

        List<String> required = suiteIds("required");
        List<String> optimal = suiteIds("optimal");

        assertThat(required).hasSize(160).allMatch(scenarioIds::contains);
        assertThat(optimal).hasSize(105).allMatch(id -> scenarioIds.contains(id) ^ EXCLUDED_IDS.contains(id));
    }

    private static List<String> suiteIds(String kind) throws IOException {
        try (InputStream ids = ConformanceTest.class.getResourceAsStream("conformance-ids.txt")) {
            return new String(ids.readAllBytes(), StandardCharsets.UTF_8).lines()
                    .filter(line -> line.startsWith(kind + " "))
                    .map(line -> line.substring(kind.length() + 1))
                    .toList();
        }
    }
}
