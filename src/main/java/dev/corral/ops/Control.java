package dev.corral.ops;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import dev.corral.coalesce.TierUnavailable;
import dev.corral.ops.Inventory.Target;
import java.io.IOException;
import java.security.Principal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferLimitException;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.http.HttpMethod;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ProblemDetail;
import org.springframework.web.reactive.function.server.RequestPredicates;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * What operators change by HTTP, on the management port: {@code POST /actuator/purge}, {@code PURGE} of a URL as content management
 * systems send it to Varnish, and {@code POST /actuator/routes/{id}}. Bad input is answered 400 and named. Thread-safe.
 */
public final class Control {

    private static final HttpMethod PURGE = HttpMethod.valueOf("PURGE");

    /** The fields that carry tags with {@code PURGE}; the first two are parted by blanks. */
    private static final List<String> TAG_FIELDS = List.of("Surrogate-Key", "xkey", "Cache-Tag");

    /** Room for a thousand long names. */
    private static final int MOST_BYTES = 2 << 20;

    /** A body of {@code POST /actuator/purge}. Absent lists are empty; {@code wait} is true unless said otherwise. */
    private record Order(@Nullable List<@Nullable String> urls, @Nullable List<@Nullable String> tags,
            @Nullable List<@Nullable String> prefixes, @Nullable List<@Nullable String> routes, boolean all,
            boolean soft, @JsonProperty("wait") @Nullable Boolean waited, boolean dryRun) {

        boolean waits() {
            return waited == null || waited;
        }
    }

    /** A body of {@code POST /actuator/routes/{id}}. */
    private record Change(@Nullable String breaker) {}

    /** Input that cannot be taken. */
    private static final class Refused extends RuntimeException {

        private static final long serialVersionUID = 1L;

        Refused(String message) {
            super(message, null, false, false);
        }
    }

    private final Purger purger;
    private final Inventory inventory;
    private final Breakers breakers;
    private final ObjectReader orders;
    private final ObjectReader changes;

    /** @param json the application's */
    public Control(Purger purger, Inventory inventory, Breakers breakers, ObjectMapper json) {
        this.purger = purger;
        this.inventory = inventory;
        this.breakers = breakers;
        ObjectReader strict = json.reader()
                .with(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, DeserializationFeature.FAIL_ON_TRAILING_TOKENS,
                        DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                .with(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
        this.orders = strict.forType(Order.class);
        this.changes = strict.forType(Change.class);
    }

    /**
     * All of it.
     *
     * @param base the path of the management endpoints, such as {@code /actuator}
     */
    public RouterFunction<ServerResponse> routes(String base) {
        return RouterFunctions.route()
                .POST(base + "/purge", request -> answered(body(request, orders, Order.class)
                        .flatMap(order -> who(request).flatMap(by -> purge(order, by)))))
                .POST(base + "/routes/{id}", request -> answered(body(request, changes, Change.class)
                        .flatMap(change -> who(request)
                                .flatMap(by -> change(request.pathVariable("id"), change, by)))))
                .route(RequestPredicates.method(PURGE),
                        request -> answered(who(request).flatMap(by -> purge(request, by))))
                .build();
    }

    // ---- purge

    private Mono<ServerResponse> purge(Order order, String by) {
        var targets = new ArrayList<Target>();
        add(targets, "urls", order.urls, inventory::url);
        add(targets, "tags", order.tags, inventory::tag);
        add(targets, "prefixes", order.prefixes, inventory::prefix);
        add(targets, "routes", order.routes, inventory::route);
        if (order.all) {
            targets.add(inventory.all());
        }
        if (targets.isEmpty()) {
            throw new Refused("names nothing: give urls, tags, prefixes, routes or \"all\": true");
        }
        return order.dryRun
                ? preview(targets, Optional.ofNullable(order.urls).orElse(List.of()))
                : purge(targets, order.soft, by, order.waits());
    }

    private Mono<ServerResponse> purge(ServerRequest request, String by) {
        var targets = new ArrayList<Target>();
        for (String name : TAG_FIELDS) {
            String parted = name.equals("Cache-Tag") ? "," : "[ \t]+";
            request.headers()
                    .header(name)
                    .stream()
                    .flatMap(line -> List.of(line.split(parted, -1)).stream())
                    .map(String::strip)
                    .filter(tag -> !tag.isEmpty())
                    .forEach(tag -> targets.add(named(name, tag, inventory::tag)));
        }
        if (targets.isEmpty()) {
            String query = Optional.ofNullable(request.uri().getRawQuery()).map(text -> "?" + text).orElse("");
            String host = Optional.ofNullable(request.headers().firstHeader("Host")).orElse("");
            String path = request.uri().getRawPath();
            targets.add(named("the URL", (path.isEmpty() ? "/" : path) + query,
                    target -> inventory.url(host, target)));
        }
        return purge(targets, soft(request), by, true);
    }

    private static boolean soft(ServerRequest request) {
        return "soft".equalsIgnoreCase(request.headers().firstHeader("Corral-Purge"))
                || "1".equals(request.headers().firstHeader("Fastly-Soft-Purge"));
    }

    private Mono<ServerResponse> purge(List<Target> targets, boolean soft, String by, boolean waits) {
        return purger.purge(targets, soft, by, waits)
                .flatMap(result -> json(waits && !result.complete() ? HttpStatus.MULTI_STATUS : HttpStatus.OK, result));
    }

    private Mono<ServerResponse> preview(List<Target> targets, List<@Nullable String> urls) {
        Inventory.Hits hits = inventory.hits(targets.stream().flatMap(target -> target.names().stream()).toList());
        List<Mono<Object>> looks = urls.stream()
                .limit(20)
                .map(url -> inventory.entry(String.valueOf(url), List.of()))
                .toList();
        return Flux.concat(looks).collectList().flatMap(found -> {
            var preview = new LinkedHashMap<String, Object>();
            preview.put("dryRun", true);
            preview.put("names", targets.stream().map(Target::told).toList());
            preview.put("here", hits);
            preview.put("urls", found);
            return json(HttpStatus.OK, preview);
        });
    }

    private static void add(List<Target> targets, String field, @Nullable List<@Nullable String> texts,
            Function<String, Target> named) {
        if (texts != null) {
            for (int i = 0; i < texts.size(); i++) {
                String text = texts.get(i);
                String name = field + "[" + i + "]";
                if (text == null) {
                    throw new Refused(name + " is null");
                }
                targets.add(named(name, text, named));
            }
        }
    }

    private static Target named(String field, String text, Function<String, Target> named) {
        try {
            return named.apply(text);
        } catch (IllegalArgumentException wrong) {
            throw new Refused(field + ": " + wrong.getMessage());
        }
    }

    // ---- routes

    private Mono<ServerResponse> change(String route, Change change, String by) {
        if (!breakers.states().containsKey(route)) {
            return problem(HttpStatus.NOT_FOUND, "no-route", "There is no route " + route + "; there are "
                    + String.join(", ", breakers.states().keySet()) + ".");
        }
        Optional<Breakers.Wish> wish = Optional.ofNullable(change.breaker).flatMap(Breakers.Wish::of);
        if (wish.isEmpty()) {
            throw new Refused("breaker must be " + Breakers.Wish.all());
        }
        return json(HttpStatus.OK, Map.of("id", route, "breaker", breakers.change(route, wish.get(), by)));
    }

    // ---- in and out

    private static <T> Mono<T> body(ServerRequest request, ObjectReader reader, Class<T> type) {
        boolean isJson = request.headers()
                .contentType()
                .filter(media -> media.isCompatibleWith(MediaType.APPLICATION_JSON))
                .isPresent();
        if (!isJson) {
            return Mono.error(new Refused("the body must be JSON, with Content-Type: application/json"));
        }
        return DataBufferUtils
                .join(request.bodyToFlux(DataBuffer.class), MOST_BYTES)
                .map(buffer -> {
                    byte[] bytes = new byte[buffer.readableByteCount()];
                    buffer.read(bytes);
                    DataBufferUtils.release(buffer);
                    return bytes;
                })
                .defaultIfEmpty(new byte[0])
                .map(bytes -> parsed(bytes, reader, type));
    }

    private static <T> T parsed(byte[] bytes, ObjectReader reader, Class<T> type) {
        try {
            T value = type.cast(reader.readValue(bytes));
            if (value == null) {
                throw new Refused("the body must be a JSON object");
            }
            return value;
        } catch (UnrecognizedPropertyException unknown) {
            throw new Refused(unknown.getPropertyName() + " is not known; there are " + unknown.getKnownPropertyIds()
                    .stream()
                    .map(String::valueOf)
                    .sorted()
                    .collect(Collectors.joining(", ")));
        } catch (JsonMappingException wrong) {
            String field = wrong.getPath()
                    .stream()
                    .map(step -> step.getFieldName() == null ? "[" + step.getIndex() + "]" : step.getFieldName())
                    .collect(Collectors.joining());
            throw new Refused((field.isEmpty() ? "the body" : field) + ": " + wrong.getOriginalMessage());
        } catch (JsonProcessingException broken) {
            throw new Refused("the body is no JSON: " + broken.getOriginalMessage());
        } catch (IOException impossible) {
            throw new IllegalStateException("bytes in memory can be read", impossible);
        }
    }

    private static Mono<String> who(ServerRequest request) {
        return request.principal().map(Principal::getName).defaultIfEmpty("anonymous");
    }

    private static Mono<ServerResponse> answered(Mono<ServerResponse> answer) {
        return answer
                .onErrorResume(Refused.class, refused -> problem(HttpStatus.BAD_REQUEST, "bad-input",
                        String.valueOf(refused.getMessage())))
                .onErrorResume(IllegalArgumentException.class, wrong -> problem(HttpStatus.BAD_REQUEST, "bad-input",
                        String.valueOf(wrong.getMessage())))
                .onErrorResume(DataBufferLimitException.class,
                        large -> problem(HttpStatus.PAYLOAD_TOO_LARGE, "too-large",
                                "The body is larger than " + MOST_BYTES + " bytes: split the batch."))
                .onErrorResume(TierUnavailable.class, away -> problem(HttpStatus.SERVICE_UNAVAILABLE, "redis",
                        "Redis could not be written: nothing is promised to be purged. Try again."));
    }

    private static Mono<ServerResponse> json(HttpStatus status, Object body) {
        return ServerResponse.status(status).contentType(MediaType.APPLICATION_JSON).bodyValue(body);
    }

    private static Mono<ServerResponse> problem(HttpStatus status, String reason, String detail) {
        ProblemDetail problem = ProblemDetail.forStatusAndDetail(status, detail);
        problem.setProperty("reason", reason);
        return ServerResponse.status(status).contentType(MediaType.APPLICATION_PROBLEM_JSON).bodyValue(problem);
    }
}
