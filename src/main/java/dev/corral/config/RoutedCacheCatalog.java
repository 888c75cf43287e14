package dev.corral.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializer;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializerBase;
import com.fasterxml.jackson.datatype.jdk8.Jdk8Module;
import dev.corral.management.purge.CacheCatalog;
import dev.corral.management.purge.CacheInspector;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.springframework.boot.convert.DurationStyle;
import org.springframework.util.unit.DataSize;
import reactor.core.publisher.Mono;

/** Adapts the inspector of the cache to the management port, and adds the settings of the routes. */
final class RoutedCacheCatalog implements CacheCatalog {

    private final CacheInspector cacheInspector;
    private final Map<String, Object> routeSettings = new LinkedHashMap<>();

    RoutedCacheCatalog(CacheInspector cacheInspector, CorralProperties settings) {
        this.cacheInspector = cacheInspector;
        // Sizes and durations as they are written in the settings.
        var settingFormats = new SimpleModule().addSerializer(DataSize.class, ToStringSerializer.instance)
                .addSerializer(Duration.class, new ToStringSerializerBase(Duration.class) {
                    private static final long serialVersionUID = 1L;

                    @Override
                    public String valueToString(Object duration) {
                        return DurationStyle.SIMPLE.print((Duration) duration);
                    }
                });
        ObjectMapper json = new ObjectMapper().registerModules(settingFormats, new Jdk8Module())
                .setPropertyNamingStrategy(PropertyNamingStrategies.KEBAB_CASE);
        settings.routes().forEach(route -> routeSettings.put(route.id(), json.convertValue(route, Map.class)));
    }

    private static PurgeTarget toPurgeTarget(CacheInspector.ResolvedTarget target) {
        return new PurgeTarget(target.description(), target.names());
    }

    @Override
    public PurgeTarget urlTarget(String url) {
        return toPurgeTarget(cacheInspector.urlTarget(url));
    }

    @Override
    public PurgeTarget urlTarget(String host, String target) {
        return toPurgeTarget(cacheInspector.urlTarget(host, target));
    }

    @Override
    public PurgeTarget prefixTarget(String prefix) {
        return toPurgeTarget(cacheInspector.prefixTarget(prefix));
    }

    @Override
    public PurgeTarget prefixTarget(String host, String path) {
        return toPurgeTarget(cacheInspector.prefixTarget(host, path));
    }

    @Override
    public PurgeTarget tagTarget(String tag) {
        return toPurgeTarget(cacheInspector.tagTarget(tag));
    }

    @Override
    public List<PurgeTarget> tagTargets(String field, String line) {
        return cacheInspector.tagTargets(field, line).stream().map(RoutedCacheCatalog::toPurgeTarget).toList();
    }

    @Override
    public PurgeTarget routeTarget(String id) {
        return toPurgeTarget(cacheInspector.routeTarget(id));
    }

    @Override
    public PurgeTarget everything() {
        return toPurgeTarget(cacheInspector.everything());
    }

    @Override
    public PurgeHits countHits(List<String> names) {
        CacheInspector.LocalHits hits = cacheInspector.countHits(names);
        return new PurgeHits(hits.matching(), hits.total());
    }

    @Override
    public Mono<Object> inspectEntry(String url, List<String> fields) {
        return cacheInspector.inspect(url, fields).cast(Object.class);
    }

    @Override
    public Map<String, Object> routeSettings() {
        return routeSettings;
    }
}
