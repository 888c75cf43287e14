package dev.corral;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.platform.commons.annotation.Testable;
import org.junit.platform.commons.support.AnnotationSupport;

import static org.assertj.core.api.Assertions.assertThat;

/** {@code docs/SAFETY.md} has each rule once, and the tests that it names exist. */
class SafetyRulesTest {

    private static final int RULE_COUNT = 8;

    private static final Pattern RULE = Pattern.compile("(?ms)^## (\\d+)\\. (.*?)(?=^## |\\z)");
    private static final Pattern TEST_REFERENCE = Pattern.compile("`([\\w/]+)/(\\w+)\\.(\\w+)`");
    private static final Pattern CITATION = Pattern.compile("(?i)safety[\\s*/]+rules?[\\s*/]+(\\d+)");

    /** @param text the heading's text and everything below it */
    record SafetyRule(int number, String text) {

        @Override
        public String toString() {
            return number + ". " + text.lines().findFirst().orElseThrow();
        }
    }

    static List<SafetyRule> rules() throws IOException {
        return RULE.matcher(page())
                .results()
                .map(rule -> new SafetyRule(Integer.parseInt(rule.group(1)), rule.group(2)))
                .toList();
    }

    private static String page() throws IOException {
        return Files.readString(Path.of("docs/SAFETY.md"));
    }

    @Test
    void everyRuleIsListedOnceInOrder() throws IOException {
        assertThat(rules()).extracting(SafetyRule::number)
                .containsExactlyElementsOf(IntStream.rangeClosed(1, RULE_COUNT).boxed().toList());
    }

    @ParameterizedTest
    @MethodSource("rules")
    void everyRuleHasTests(SafetyRule rule) {
        assertThat(TEST_REFERENCE.matcher(rule.text()).results()).isNotEmpty();
    }

    @Test
    void everyNamedTestExists() throws IOException {
        for (MatchResult test : TEST_REFERENCE.matcher(page()).results().toList()) {
            assertThat(testMethods("dev.corral." + test.group(1).replace('/', '.') + "." + test.group(2)))
                    .as(test.group())
                    .contains(test.group(3));
        }
    }

    @Test
    void citedRulesExist() throws IOException {
        try (Stream<Path> files = Files.walk(Path.of("src"))) {
            Set<Integer> cited = files.filter(file -> file.toString().endsWith(".java"))
                    .flatMap(file -> CITATION.matcher(read(file)).results())
                    .map(citation -> Integer.valueOf(citation.group(1)))
                    .collect(Collectors.toSet());

            assertThat(cited).isNotEmpty().allMatch(number -> number >= 1 && number <= RULE_COUNT);
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Methods of the class that a test engine runs. */
    private static List<String> testMethods(String type) {
        try {
            Class<?> owner = Class.forName(type, false, SafetyRulesTest.class.getClassLoader());
            return Stream.concat(Stream.of(owner), Arrays.stream(owner.getDeclaredClasses()))
                    .flatMap(each -> Arrays.stream(each.getDeclaredMethods()))
                    .filter(method -> AnnotationSupport.isAnnotated(method, Testable.class))
                    .map(Method::getName)
                    .toList();
        } catch (ClassNotFoundException e) {
            return List.of();
        }
    }
}
