package dev.corral.proxy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;

/** The table of what other caches are held to is whole and true: see {@code public-behaviors.md}. */
class PublicBehaviorsTest {

    private static final int LAST_NUMBER = 19;

    private static final Pattern ROW = Pattern.compile("(?m)^\\| (\\w+) \\| ([^|]+) \\| ([^|]+) \\|$");
    private static final Pattern TEST_REFERENCE = Pattern.compile("`([\\w/]+)/(\\w+)\\.(\\w+)`");

    /** @param number as in the table */
    record BehaviorRow(String number, String behavior, String evidence) {

        List<MatchResult> tests() {
            return TEST_REFERENCE.matcher(evidence).results().toList();
        }
    }

    static Stream<BehaviorRow> rows() throws IOException {
        return ROW.matcher(Files.readString(Path.of("src/test/resources/public-behaviors.md")))
                .results()
                .map(row -> new BehaviorRow(row.group(1), row.group(2), row.group(3)));
    }

    @Test
    void everyBehaviorNumberIsListed() throws IOException {
        assertThat(rows().map(BehaviorRow::number).distinct().filter(number -> number.matches("\\d+")))
                .containsExactlyElementsOf(IntStream.rangeClosed(1, LAST_NUMBER).mapToObj(Integer::toString).toList());
    }

    /** A reason is not a test: it says what is done instead. */
    @ParameterizedTest
    @MethodSource("rows")
    void everyBehaviorHasATestOrAReason(BehaviorRow row) throws IOException {
        boolean otherwise = row.evidence().startsWith("otherwise: ");

        assertThat(otherwise || !row.tests().isEmpty()).isTrue();
        for (MatchResult test : row.tests()) {
            Matcher method = Pattern
                    .compile("(?s)(/\\*\\*(?:(?!\\*/).)*\\*/)?\\s*((?:@[^\\n]*\\n(?: {12,}[^\\n]*\\n)*\\s*)+)"
                            + "void " + test.group(3) + "\\(")
                    .matcher(Files.readString(
                            Path.of("src/test/java/dev/corral", test.group(1), test.group(2) + ".java")));

            assertThat(method.find()).as(test.group()).isTrue();
            assertThat(method.group(2)).contains("Test");
            if (!otherwise && row.number().matches("\\d+")) {
                assertThat(method.group(1)).as(test.group())
                        .containsPattern("Public behaviors? [^.:]*\\b" + row.number() + "\\b");
            }
        }
    }
}
