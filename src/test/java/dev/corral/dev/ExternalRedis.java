package dev.corral.dev;

import java.net.URI;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** A Redis somebody else runs, known by Spring's settings. It is neither started nor stopped here. */
record ExternalRedis(Map<String, String> spring) implements RedisServer {

    // What names a server; other settings of spring.data.redis (a timeout, a password) do not.
    private static final List<String> ADDRESS_SETTINGS = List.of("url", "host", "port", "cluster.nodes",
            "cluster.nodes[0]",
            "sentinel.nodes", "sentinel.nodes[0]");

    ExternalRedis {
        spring = Map.copyOf(spring);
    }

    /** The server those settings name, or that URL; Spring's settings win. Empty when nothing names one. */
    static Optional<ExternalRedis> of(Map<String, String> spring, Optional<String> url) {
        if (ADDRESS_SETTINGS.stream().anyMatch(spring::containsKey)) {
            return Optional.of(new ExternalRedis(spring));
        }
        return url.map(value -> {
            var all = new HashMap<>(spring);
            all.put("url", value);
            return new ExternalRedis(all);
        });
    }

    /** The host; of a cluster or of Sentinels, the first node's. */
    @Override
    public String host() {
        return address().getHost();
    }

    /** The port; of a cluster or of Sentinels, the first node's. */
    @Override
    public int port() {
        int port = address().getPort();
        return port < 0 ? 6379 : port;
    }

    @Override
    public String url() {
        return spring.getOrDefault("url", "redis://" + host() + ":" + port());
    }

    @Override
    public Map<String, String> settings() {
        var settings = new HashMap<String, String>();
        spring.forEach((name, value) -> settings.put("spring.data.redis." + name, value));
        return settings;
    }

    @Override
    public String kind() {
        return "given by the settings";
    }

    @Override
    public void close() {
        // Not ours to stop.
    }

    private URI address() {
        String nodes = Stream.of("cluster.nodes", "cluster.nodes[0]", "sentinel.nodes", "sentinel.nodes[0]")
                .flatMap(name -> Optional.ofNullable(spring.get(name)).stream())
                .findFirst()
                .orElseGet(() -> spring.getOrDefault("host", "localhost") + ":" + spring.getOrDefault("port", "6379"));
        String first = nodes.split(",", 2)[0].strip();
        return URI.create(spring.getOrDefault("url", "redis://" + first));
    }
}
