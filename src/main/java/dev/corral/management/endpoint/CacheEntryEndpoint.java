package dev.corral.management.endpoint;

import dev.corral.management.purge.CacheCatalog;
import java.util.Collection;
import java.util.List;
import org.springframework.boot.actuate.endpoint.InvalidEndpointRequestException;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.lang.Nullable;
import reactor.core.publisher.Mono;

/** What is stored for a URL: {@code GET /actuator/entry?url=...&header=Accept-Language:+en}. Never the body. */
@Endpoint(id = "entry")
public final class CacheEntryEndpoint {

    private final CacheCatalog cacheCatalog;

    /** Looks into this inventory. */
    public CacheEntryEndpoint(CacheCatalog inventory) {
        this.cacheCatalog = inventory;
    }

    /**
     * Its state, age and so on.
     *
     * @param url    absolute, or a path where no client's host is part of the key
     * @param header each as {@code Name: value}; those that select a variant. Spring's own annotation: by another the actuator does
     *               not know that it may be absent
     */
    @ReadOperation
    public Mono<Object> entry(String url, @Nullable Object header) {
        try {
            return cacheCatalog.inspectEntry(url, headerLines(header));
        } catch (IllegalArgumentException wrong) {
            throw new InvalidEndpointRequestException("a bad parameter", "url or header: " + wrong.getMessage(), wrong);
        }
    }

    /** As a list, Spring would take one value apart at its commas. */
    private static List<String> headerLines(@Nullable Object header) {
        return switch (header) {
            case null -> List.of();
            case Collection<?> several -> several.stream().map(String::valueOf).toList();
            default -> List.of(header.toString());
        };
    }
}
