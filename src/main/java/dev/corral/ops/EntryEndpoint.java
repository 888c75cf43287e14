package dev.corral.ops;

import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.actuate.endpoint.InvalidEndpointRequestException;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import reactor.core.publisher.Mono;

/** What is stored for a URL: {@code GET /actuator/entry?url=...&header=Accept-Language:+en}. Never the body. */
@Endpoint(id = "entry")
public final class EntryEndpoint {

    private final Inventory inventory;

    /** Looks into this inventory. */
    public EntryEndpoint(Inventory inventory) {
        this.inventory = inventory;
    }

    /**
     * Its state, age and so on.
     *
     * @param url    absolute, or a path where no client's host is part of the key
     * @param header each as {@code Name: value}; those that select a variant
     */
    @ReadOperation
    public Mono<Object> entry(String url, @Nullable List<String> header) {
        try {
            return inventory.entry(url, Optional.ofNullable(header).orElse(List.of()));
        } catch (IllegalArgumentException wrong) {
            throw new InvalidEndpointRequestException("a bad parameter", "url or header: " + wrong.getMessage(), wrong);
        }
    }
}
