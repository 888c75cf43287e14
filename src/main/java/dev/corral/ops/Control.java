package dev.corral.ops;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import dev.corral.coalesce.TierUnavailable;
import dev.corral.ops.Inventory.Target;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.core.io.buffer.DataBufferLimitException;
import org.springframework.core.io.buffer.DataBufferUtils;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.HttpStatus;
import org.springframework.http.InvalidMediaTypeException;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpRequestDecorator;
import org.springframework.web.reactive.function.server.RequestPredicates;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import org.springframework.web.server.UnsupportedMediaTypeStatusException;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.netty.http.server.HttpServerRequest;

/**
 * What operators change by HTTP, on the management port: {@code POST /actuator/purge}, {@code PURGE} of a URL as content management
 * systems send it to Varnish, and {@code POST /actuator/routes/{id}}. Bad input is answered 400 and named. Thread-safe.
 */
public final class Control {

    private static final HttpMethod PURGE = HttpMethod.valueOf("PURGE");

    /** The fields that carry tags with {@code PURGE}. */
    private static final List<String> TAG_FIELDS = List.of("Surrogate-Key", "xkey", "Cache-Tag");

    private static final Pattern ABSOLUTE = Pattern.compile("(?i:https?)://(?<host>[^/?]*)(?<target>.*)");

    /** Room for a thousand long names. */
    private static final int MOST_BYTES = 2 << 20;

    /** Redis' breaker tries it out again within a second. */
    private static final Duration AGAIN = Duration.ofSeconds(1);

    private static final Set<String> OF_A_PURGE = Set.of("urls", "tags", "prefixes", "routes", "all", "soft", "wait",
            "dryRun");

    private static final Set<String> OF_A_ROUTE = Set.of("breaker");

    private final Purger purger;
    private final Inventory inventory;
    private final Breakers breakers;
    private final ObjectReader reader;

    /** @param json the application's */
    public Control(Purger purger, Inventory inventory, Breakers breakers, ObjectMapper json) {
        this.purger = purger;
        this.inventory = inventory;
        this.breakers = breakers;
        this.reader = Sent.reader(json);
    }

    /**
     * All of it.
     *
     * @param base the path of the management endpoints, such as {@code /actuator}
     */
    public RouterFunction<ServerResponse> routes(String base) {
        return RouterFunctions.route()
                .POST(base + "/purge", request -> answered(body(request, OF_A_PURGE)
                        .flatMap(order -> Who.asks(request.exchange()).flatMap(by -> purge(order, by)))))
                .POST(base + "/routes/{id}", request -> answered(body(request, OF_A_ROUTE)
                        .flatMap(change -> Who.asks(request.exchange())
                                .flatMap(by -> change(request.pathVariable("id"), change, by)))))
                .route(RequestPredicates.method(PURGE),
                        request -> answered(Who.asks(request.exchange()).flatMap(by -> purge(request, by))))
                .build();
    }

    // ---- purge

    private Mono<ServerResponse> purge(Sent order, String by) {
        List<String> urls = order.texts("urls");
        var targets = new ArrayList<Target>();
        add(targets, "urls", urls, this::urlWithoutPattern);
        add(targets, "tags", order.texts("tags"), inventory::tag);
        add(targets, "prefixes", order.texts("prefixes"), inventory::prefix);
        add(targets, "routes", order.texts("routes"), inventory::route);
        if (order.flag("all", false)) {
            targets.add(inventory.all());
        }
        boolean soft = order.flag("soft", false);
        boolean waits = order.flag("wait", true);
        boolean dryRun = order.flag("dryRun", false);
        if (targets.isEmpty()) {
            throw new BadInput("Nothing is named: give urls, tags, prefixes, routes or \"all\": true.");
        }
        return dryRun ? preview(targets, urls) : purge(targets, soft, by, waits);
    }

    private Mono<ServerResponse> purge(ServerRequest request, String by) {
        HttpHeaders fields = request.headers().asHttpHeaders();
        PluginPurge.refuseUnknown(fields);
        var targets = new ArrayList<Target>();
        Optional<PluginPurge.TagPattern> pattern = PluginPurge.tagPattern(fields);
        if (pattern.isPresent() && pattern.get().isAll()) {
            return purge(List.of(inventory.all()), soft(request), by, true);
        }
        pattern.ifPresent(all -> add(targets, "X-Magento-Tags-Pattern", all.tags(), inventory::tag));
        for (String name : TAG_FIELDS) {
            for (String line : request.headers().header(name)) {
                targets.addAll(named(name, line, text -> inventory.tags(name, text)));
            }
        }
        if (targets.isEmpty()) {
            targets.add(url(request));
        }
        return purge(targets, soft(request), by, true);
    }

    /** As it stands in the request line. An absolute URL's host is the one that counts: RFC 9112 section 3.2.2. */
    private Target url(ServerRequest request) {
        HttpServerRequest received = ServerHttpRequestDecorator.getNativeRequest(request.exchange().getRequest());
        Matcher absolute = ABSOLUTE.matcher(received.uri());
        HttpHeaders fields = request.headers().asHttpHeaders();
        if (absolute.matches()) {
            return url(fields, absolute.group("host"), absolute.group("target"));
        }
        if (!received.uri().startsWith("/") && !received.uri().equals(".*")) {
            throw new BadInput("PURGE takes a path, or an absolute http or https URL.");
        }
        return url(fields, Optional.ofNullable(fields.getFirst("Host")).orElse(""), received.uri());
    }

    private Target urlWithoutPattern(String url) {
        if (url.endsWith(".*")) {
            throw new IllegalArgumentException(
                    url + " looks like a pattern: give what it begins with in prefixes. As a URL, write its * as %2A.");
        }
        return inventory.url(url);
    }

    private Target url(HttpHeaders fields, String host, String target) {
        PluginPurge.Target named = PluginPurge.target(fields, target.startsWith("/") ? target : "/" + target);
        return named("The URL", named.path(), named.isPrefix()
                ? path -> inventory.prefix(host, path)
                : text -> inventory.url(host, text));
    }

    private static boolean soft(ServerRequest request) {
        String wish = Optional.ofNullable(request.headers().firstHeader("Corral-Purge")).orElse("hard");
        if (!wish.equalsIgnoreCase("soft") && !wish.equalsIgnoreCase("hard")) {
            throw new BadInput("Corral-Purge must be soft or hard, not " + wish + ".");
        }
        return wish.equalsIgnoreCase("soft") || "1".equals(request.headers().firstHeader("Fastly-Soft-Purge"));
    }

    private Mono<ServerResponse> purge(List<Target> targets, boolean soft, String by, boolean waits) {
        return purger.purge(targets, soft, by, waits)
                .flatMap(result -> json(waits && !result.complete() ? HttpStatus.MULTI_STATUS : HttpStatus.OK, result));
    }

    private Mono<ServerResponse> preview(List<Target> targets, List<String> urls) {
        Inventory.Hits hits = inventory.hits(Purger.names(targets));
        List<Mono<Object>> looks = urls.stream()
                .limit(20)
                .map(url -> inventory.entry(url, List.of()))
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

    private static void add(List<Target> targets, String field, List<String> texts, Function<String, Target> named) {
        for (int i = 0; i < texts.size(); i++) {
            targets.add(named(field + "[" + i + "]", texts.get(i), named));
        }
    }

    private static <T> T named(String field, String text, Function<String, T> named) {
        try {
            return named.apply(text);
        } catch (IllegalArgumentException wrong) {
            throw new BadInput(field + ": " + wrong.getMessage());
        }
    }

    // ---- routes

    private Mono<ServerResponse> change(String route, Sent change, String by) {
        if (!breakers.states().containsKey(route)) {
            return Problems.answer(HttpStatus.NOT_FOUND, "not-found", breakers.unknown(route), Optional.empty());
        }
        Breakers.Wish wish = change.text("breaker", Breakers.Wish.all())
                .flatMap(Breakers.Wish::of)
                .orElseThrow(() -> new BadInput("breaker must be " + Breakers.Wish.all() + "."));
        return json(HttpStatus.OK, Map.of("id", route, "breaker", breakers.change(route, wish, by)));
    }

    // ---- in and out

    private Mono<Sent> body(ServerRequest request, Set<String> known) {
        if (!isJson(request)) {
            return Mono.error(new UnsupportedMediaTypeStatusException(
                    "The body must be JSON, with Content-Type: application/json."));
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
                .map(bytes -> Sent.read(bytes, reader, known));
    }

    private static boolean isJson(ServerRequest request) {
        try {
            return request.headers().contentType().filter(MediaType.APPLICATION_JSON::includes).isPresent();
        } catch (InvalidMediaTypeException broken) {
            return false;
        }
    }

    private static Mono<ServerResponse> answered(Mono<ServerResponse> answer) {
        return answer
                .onErrorResume(BadInput.class, Control::bad)
                .onErrorResume(IllegalArgumentException.class, Control::bad)
                .onErrorResume(UnsupportedMediaTypeStatusException.class,
                        other -> Problems.answer(HttpStatus.UNSUPPORTED_MEDIA_TYPE, "content-type",
                                String.valueOf(other.getReason()), Optional.empty()))
                .onErrorResume(DataBufferLimitException.class,
                        large -> Problems.answer(HttpStatus.PAYLOAD_TOO_LARGE, "too-large",
                                "The body is larger than " + MOST_BYTES + " bytes: split the batch.",
                                Optional.empty()))
                .onErrorResume(TierUnavailable.class, away -> Problems.answer(HttpStatus.SERVICE_UNAVAILABLE, "redis",
                        "Redis could not be written: nothing is promised to be purged. Try again.",
                        Optional.of(AGAIN)));
    }

    private static Mono<ServerResponse> bad(Throwable input) {
        return Problems.answer(HttpStatus.BAD_REQUEST, "bad-input", String.valueOf(input.getMessage()),
                Optional.empty());
    }

    private static Mono<ServerResponse> json(HttpStatus status, Object body) {
        return ServerResponse.status(status).contentType(MediaType.APPLICATION_JSON).bodyValue(body);
    }
}
