package dev.corral.management.endpoint;

import dev.corral.management.purge.CacheCatalog;
import java.util.Collection;
import java.util.List;
import org.springframework.boot.actuate.endpoint.InvalidEndpointRequestException;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.lang.Nullable;
import reactor.core.publisher.Mono;

/** Reports the entry stored for a URL, without its body: {@code GET /actuator/entry?url=...&header=Accept-Language:+en}. */
@Endpoint(id = "entry")
public final class CacheEntryEndpoint {

    private final CacheCatalog cacheCatalog;

    /** @param cacheCatalog reads the entries */
    public CacheEntryEndpoint(CacheCatalog cacheCatalog) {
        this.cacheCatalog = cacheCatalog;
    }

    /**
     * The entry's state, age and other properties.
     *
     * @param url    absolute, or a path where the client's host is not part of the key
     * @param header the request fields that select a variant, each as {@code Name: value}. The annotation must be Spring's
     *               {@code Nullable}; the actuator would take the parameter as required with any other
     */
    @ReadOperation
    public Mono<Object> entry(String url, @Nullable Object header) {
        try {
            return cacheCatalog.inspectEntry(url, headerLines(header));
        } catch (IllegalArgumentException e) {
            throw new InvalidEndpointRequestException("invalid parameter", "url or header: " + e.getMessage(), e);
        }
    }

    /** The parameter is not declared as a list, because Spring would split a single value at its commas. */
    private static List<String> headerLines(@Nullable Object header) {
        return switch (header) {
            case null -> List.of();
            case Collection<?> values -> values.stream().map(String::valueOf).toList();
            default -> List.of(header.toString());
        };
    }
}
