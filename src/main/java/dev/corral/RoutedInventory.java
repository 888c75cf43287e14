package dev.corral;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializer;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializerBase;
import com.fasterxml.jackson.datatype.jdk8.Jdk8Module;
import dev.corral.edge.Catalogue;
import dev.corral.ops.Inventory;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.springframework.boot.convert.DurationStyle;
import org.springframework.util.unit.DataSize;
import reactor.core.publisher.Mono;

/** The edge's catalogue as the operators' room wants it, and the settings of the routes. */
final class RoutedInventory implements Inventory {

    private final Catalogue catalogue;
    private final Map<String, Object> routes = new LinkedHashMap<>();

    RoutedInventory(Catalogue catalogue, Settings settings) {
        this.catalogue = catalogue;
        // As one would write them.
        var asWritten = new SimpleModule().addSerializer(DataSize.class, ToStringSerializer.instance)
                .addSerializer(Duration.class, new ToStringSerializerBase(Duration.class) {
                    private static final long serialVersionUID = 1L;

                    @Override
                    public String valueToString(Object duration) {
                        return DurationStyle.SIMPLE.print((Duration) duration);
                    }
                });
        ObjectMapper json = new ObjectMapper().registerModules(asWritten, new Jdk8Module())
                .setPropertyNamingStrategy(PropertyNamingStrategies.KEBAB_CASE);
        settings.routes().forEach(route -> routes.put(route.id(), json.convertValue(route, Map.class)));
    }

    private static Target target(Catalogue.Target target) {
        return new Target(target.told(), target.names());
    }

    @Override
    public Target url(String url) {
        return target(catalogue.url(url));
    }

    @Override
    public Target url(String host, String target) {
        return target(catalogue.url(host, target));
    }

    @Override
    public Target prefix(String prefix) {
        return target(catalogue.prefix(prefix));
    }

    @Override
    public Target prefix(String host, String path) {
        return target(catalogue.prefix(host, path));
    }

    @Override
    public Target tag(String tag) {
        return target(catalogue.tag(tag));
    }

    @Override
    public List<Target> tags(String field, String line) {
        return catalogue.tags(field, line).stream().map(RoutedInventory::target).toList();
    }

    @Override
    public Target route(String id) {
        return target(catalogue.route(id));
    }

    @Override
    public Target all() {
        return target(catalogue.all());
    }

    @Override
    public Hits hits(List<String> names) {
        Catalogue.Hits hits = catalogue.hits(names);
        return new Hits(hits.hit(), hits.of());
    }

    @Override
    public Mono<Object> entry(String url, List<String> fields) {
        return catalogue.look(url, fields).cast(Object.class);
    }

    @Override
    public Map<String, Object> routes() {
        return routes;
    }
}
