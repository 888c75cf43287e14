package dev.corral.dev;

import java.net.URI;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** An existing Redis named by Spring's settings. It is neither started nor stopped here. */
record ExternalRedis(Map<String, String> spring) implements RedisServer {

    // Settings that name a server, unlike a timeout or a password.
    private static final List<String> ADDRESS_SETTINGS = List.of("url", "host", "port", "cluster.nodes",
            "cluster.nodes[0]",
            "sentinel.nodes", "sentinel.nodes[0]");

    ExternalRedis {
        spring = Map.copyOf(spring);
    }

    /** The server named by the settings or the URL; Spring's settings take precedence. Empty when neither names one. */
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

    /** The host; for a cluster or Sentinels that of the first node. */
    @Override
    public String host() {
        return address().getHost();
    }

    /** The port; for a cluster or Sentinels that of the first node. */
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
        // Started by someone else.
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
