package dev.corral;

import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Every class, member and file that the pages in {@code docs} name exists. */
class DocumentationTest {

    private static final Pattern CODE_REFERENCE = Pattern.compile("`((?:[a-z]+\\.)+)([A-Z]\\w+)((?:\\.\\w+)*)`");
    private static final Pattern FILE_LINK = Pattern.compile("\\]\\(([^)#:]+)(?:#[^)]*)?\\)");

    static List<Path> pages() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("docs"))) {
            return files.filter(file -> file.toString().endsWith(".md")).sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("pages")
    void namedCodeExists(Path page) throws IOException {
        for (MatchResult reference : CODE_REFERENCE.matcher(Files.readString(page)).results().toList()) {
            assertThat(exists("dev.corral." + reference.group(1) + reference.group(2), reference.group(3)))
                    .as(reference.group())
                    .isTrue();
        }
    }

    @ParameterizedTest
    @MethodSource("pages")
    void linkedFilesExist(Path page) throws IOException {
        for (MatchResult link : FILE_LINK.matcher(Files.readString(page)).results().toList()) {
            assertThat(Path.of("docs").resolve(link.group(1)).normalize()).as(link.group()).exists();
        }
    }

    @Test
    void missingMemberIsDetected() {
        assertThat(exists("dev.corral.cache.Entry", ".purgePosition")).isTrue();
        assertThat(exists("dev.corral.coalesce.SharedTier", ".Lease")).isTrue();
        assertThat(exists("dev.corral.cache.Entry", ".position")).isFalse();
        assertThat(exists("dev.corral.cache.Response", "")).isFalse();
    }

    /** @param members names after the class, each with a dot before it; all but the last are nested types */
    private static boolean exists(String type, String members) {
        try {
            Class<?> owner = Class.forName(type, false, DocumentationTest.class.getClassLoader());
            int dot = members.indexOf('.', 1);
            String member = members.isEmpty() ? "" : members.substring(1, dot < 0 ? members.length() : dot);
            boolean nested = Arrays.stream(owner.getDeclaredClasses())
                    .anyMatch(each -> each.getSimpleName().equals(member));
            if (nested) {
                return exists(type + "$" + member, dot < 0 ? "" : members.substring(dot));
            }
            return member.isEmpty()
                    || Arrays.stream(owner.getDeclaredMethods()).map(Method::getName).anyMatch(member::equals)
                    || Arrays.stream(owner.getDeclaredFields()).anyMatch(field -> field.getName().equals(member));
        } catch (ClassNotFoundException e) {
            return false;
        }
    }
}
