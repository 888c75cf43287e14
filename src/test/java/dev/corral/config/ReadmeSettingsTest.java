package dev.corral.config;

import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.springframework.boot.context.properties.bind.DataObjectPropertyName;
import org.springframework.boot.context.properties.bind.DefaultValue;

import static org.assertj.core.api.Assertions.assertThat;

/** The tables of settings in the README list exactly the settings of the code. */
class ReadmeSettingsTest {

    private static final String CACHE_PREFIX = "routes[n].cache.";
    private static final Pattern TOKEN = Pattern.compile("`([^`]+)`");

    private record Setting(String name, List<String> defaults) {}

    private static List<Setting> settings(Class<?> type, String prefix) {
        var all = new ArrayList<Setting>();
        for (RecordComponent component : type.getRecordComponents()) {
            String name = prefix + DataObjectPropertyName.toDashedForm(component.getName());
            Class<?> inner = component.getType();
            if (component.getGenericType() instanceof ParameterizedType list
                    && list.getActualTypeArguments()[0] instanceof Class<?> element && element.isRecord()) {
                all.addAll(settings(element, name + "[n]."));
            } else if (inner.isRecord() && inner.getPackageName().equals(CorralProperties.class.getPackageName())) {
                all.addAll(settings(inner, name + "."));
            } else {
                all.add(new Setting(name, defaults(type, component)));
            }
        }
        return all;
    }

    /** Read from the constructor, because a record component does not keep the annotation. */
    private static List<String> defaults(Class<?> type, RecordComponent component) {
        var constructor = type.getDeclaredConstructors()[0];
        return Stream.of(constructor.getParameters())
                .filter(parameter -> parameter.getName().equals(component.getName()))
                .flatMap(parameter -> Stream.of(parameter.getAnnotationsByType(DefaultValue.class)))
                .flatMap(value -> Stream.of(value.value()))
                .toList();
    }

    private static List<String[]> rows(String heading) throws Exception {
        String readme = Files.readString(Path.of("README.md"));
        int start = readme.indexOf("\n" + heading + "\n");
        assertThat(start).as(heading).isPositive();
        int end = readme.indexOf("\n## ", start + 1);
        return readme.substring(start, end)
                .lines()
                .filter(line -> line.startsWith("| `"))
                .map(line -> line.split("(?<!\\\\)\\|", -1))
                .toList();
    }

    private static List<String> tokens(String cell) {
        return TOKEN.matcher(cell).results().map(it -> it.group(1)).toList();
    }

    /** A name that begins with a dot replaces the last part of the first name. */
    private static List<String> names(String cell) {
        List<String> tokens = tokens(cell);
        String first = tokens.getFirst();
        return tokens.stream()
                .map(token -> token.startsWith(".") ? first.substring(0, first.lastIndexOf('.')) + token : token)
                .toList();
    }

    private static Set<String> names(List<Setting> settings, boolean ofACache) {
        var names = new TreeSet<String>();
        for (Setting setting : settings) {
            if (setting.name.startsWith(CACHE_PREFIX) == ofACache) {
                names.add(ofACache ? setting.name.substring(CACHE_PREFIX.length()) : setting.name);
            }
        }
        return names;
    }

    private static Set<String> named(List<String[]> rows) {
        var named = new TreeSet<String>();
        rows.forEach(row -> named.addAll(names(row[1])));
        // The row that links to the other table, and the heading of that table.
        named.removeAll(List.of(CACHE_PREFIX + "*", CACHE_PREFIX));
        return named;
    }

    @Test
    void readmeTablesListExactlyTheSettings() throws Exception {
        List<Setting> settings = settings(CorralProperties.class, "");

        assertThat(named(rows("## Settings"))).isEqualTo(names(settings, false));
        assertThat(named(rows("## HTTP caching"))).isEqualTo(names(settings, true));
    }

    @Test
    void readmeDefaultsMatchTheCode() throws Exception {
        List<Setting> settings = settings(CorralProperties.class, "");
        var rows = new ArrayList<>(rows("## Settings"));
        rows.addAll(rows("## HTTP caching"));
        int compared = 0;
        for (String[] row : rows) {
            List<String> names = names(row[1]);
            List<String> documented = tokens(row[2]);
            for (Setting setting : settings) {
                boolean here = names.contains(setting.name) || names.contains(setting.name.replace(CACHE_PREFIX, ""));
                if (here && !setting.defaults.isEmpty() && !setting.defaults.equals(List.of(""))) {
                    String all = String.join(", ", documented);
                    assertThat(all).as(setting.name).contains(setting.defaults);
                    compared++;
                }
            }
        }
        assertThat(compared).isGreaterThan(30);
    }
}
