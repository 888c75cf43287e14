package dev.corral.management.purge;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.management.RouteBreakerControl;
import dev.corral.management.purge.CacheCatalog.PurgeTarget;
import dev.corral.management.security.AuditUser;
import dev.corral.management.security.ManagementExceptionHandler;
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
public final class PurgeController {

    private static final HttpMethod PURGE_METHOD = HttpMethod.valueOf("PURGE");

    /** The fields that carry tags with {@code PURGE}. */
    private static final List<String> TAG_HEADERS = List.of("Surrogate-Key", "xkey", "Cache-Tag");

    private static final Pattern ABSOLUTE_FORM = Pattern.compile("(?i:https?)://(?<host>[^/?]*)(?<target>.*)");

    /** Room for a thousand long names. */
    private static final int MAX_BODY_BYTES = 2 << 20;

    /** Redis' breaker tries it out again within a second. */
    private static final Duration RETRY_AFTER = Duration.ofSeconds(1);

    private static final Set<String> PURGE_MEMBERS = Set.of("urls", "tags", "prefixes", "routes", "all", "soft", "wait",
            "dryRun");

    private static final Set<String> ROUTE_MEMBERS = Set.of("breaker");

    private final PurgeCoordinator purgeCoordinator;
    private final CacheCatalog cacheCatalog;
    private final RouteBreakerControl breakerControl;
    private final ObjectReader jsonReader;

    /** @param json the application's */
    public PurgeController(PurgeCoordinator purger, CacheCatalog inventory, RouteBreakerControl breakers,
            ObjectMapper json) {
        this.purgeCoordinator = purger;
        this.cacheCatalog = inventory;
        this.breakerControl = breakers;
        this.jsonReader = StrictJson.strictReader(json);
    }

    /**
     * All of it.
     *
     * @param base the path of the management endpoints, such as {@code /actuator}
     */
    public RouterFunction<ServerResponse> routes(String base) {
        return RouterFunctions.route()
                .POST(base + "/purge", request -> withProblemResponses(readBody(request, PURGE_MEMBERS)
                        .flatMap(order -> AuditUser.nameOf(request.exchange()).flatMap(by -> purgeByJson(order, by)))))
                .POST(base + "/routes/{id}", request -> withProblemResponses(readBody(request, ROUTE_MEMBERS)
                        .flatMap(change -> AuditUser.nameOf(request.exchange())
                                .flatMap(by -> changeBreaker(request.pathVariable("id"), change, by)))))
                .route(RequestPredicates.method(PURGE_METHOD),
                        request -> withProblemResponses(
                                AuditUser.nameOf(request.exchange()).flatMap(by -> purgeByMethod(request, by))))
                .build();
    }

    // ---- purge

    private Mono<ServerResponse> purgeByJson(StrictJson order, String by) {
        List<String> urls = order.getStrings("urls");
        var targets = new ArrayList<PurgeTarget>();
        addTargets(targets, "urls", urls, this::literalUrlTarget);
        addTargets(targets, "tags", order.getStrings("tags"), cacheCatalog::tagTarget);
        addTargets(targets, "prefixes", order.getStrings("prefixes"), cacheCatalog::prefixTarget);
        addTargets(targets, "routes", order.getStrings("routes"), cacheCatalog::routeTarget);
        if (order.getBoolean("all", false)) {
            targets.add(cacheCatalog.everything());
        }
        boolean soft = order.getBoolean("soft", false);
        boolean waits = order.getBoolean("wait", true);
        boolean dryRun = order.getBoolean("dryRun", false);
        if (targets.isEmpty()) {
            throw new BadRequestException("Nothing is named: give urls, tags, prefixes, routes or \"all\": true.");
        }
        return dryRun ? preview(targets, urls) : purge(targets, soft, by, waits);
    }

    private Mono<ServerResponse> purgeByMethod(ServerRequest request, String by) {
        HttpHeaders fields = request.headers().asHttpHeaders();
        PluginPurgeParser.rejectUnsupportedHeaders(fields);
        var targets = new ArrayList<PurgeTarget>();
        Optional<PluginPurgeParser.TagPattern> pattern = PluginPurgeParser.parseTagPattern(fields);
        if (pattern.isPresent() && pattern.get().isAll()) {
            return purge(List.of(cacheCatalog.everything()), isSoft(request), by, true);
        }
        pattern.ifPresent(all -> addTargets(targets, "X-Magento-Tags-Pattern", all.tags(), cacheCatalog::tagTarget));
        for (String name : TAG_HEADERS) {
            for (String line : request.headers().header(name)) {
                targets.addAll(resolve(name, line, text -> cacheCatalog.tagTargets(name, text)));
            }
        }
        if (targets.isEmpty()) {
            targets.add(requestTarget(request));
        }
        return purge(targets, isSoft(request), by, true);
    }

    /** As it stands in the request line. An absolute URL's host is the one that counts: RFC 9112 section 3.2.2. */
    private PurgeTarget requestTarget(ServerRequest request) {
        HttpServerRequest received = ServerHttpRequestDecorator.getNativeRequest(request.exchange().getRequest());
        Matcher absolute = ABSOLUTE_FORM.matcher(received.uri());
        HttpHeaders fields = request.headers().asHttpHeaders();
        if (absolute.matches()) {
            return urlTarget(fields, absolute.group("host"), absolute.group("target"));
        }
        if (!received.uri().startsWith("/") && !received.uri().equals(".*")) {
            throw new BadRequestException("PURGE takes a path, or an absolute http or https URL.");
        }
        return urlTarget(fields, Optional.ofNullable(fields.getFirst("Host")).orElse(""), received.uri());
    }

    private PurgeTarget literalUrlTarget(String url) {
        if (url.endsWith(".*")) {
            throw new IllegalArgumentException(
                    url + " looks like a pattern: give what it begins with in prefixes. As a URL, write its * as %2A.");
        }
        return cacheCatalog.urlTarget(url);
    }

    private PurgeTarget urlTarget(HttpHeaders fields, String host, String target) {
        PluginPurgeParser.PathTarget named = PluginPurgeParser.parseTarget(fields,
                target.startsWith("/") ? target : "/" + target);
        return resolve("The URL", named.path(), named.isPrefix()
                ? path -> cacheCatalog.prefixTarget(host, path)
                : text -> cacheCatalog.urlTarget(host, text));
    }

    private static boolean isSoft(ServerRequest request) {
        String wish = Optional.ofNullable(request.headers().firstHeader("Corral-Purge")).orElse("hard");
        if (!wish.equalsIgnoreCase("soft") && !wish.equalsIgnoreCase("hard")) {
            throw new BadRequestException("Corral-Purge must be soft or hard, not " + wish + ".");
        }
        return wish.equalsIgnoreCase("soft") || "1".equals(request.headers().firstHeader("Fastly-Soft-Purge"));
    }

    private Mono<ServerResponse> purge(List<PurgeTarget> targets, boolean soft, String by, boolean waits) {
        return purgeCoordinator.purge(targets, soft, by, waits)
                .flatMap(result -> jsonResponse(waits && !result.complete() ? HttpStatus.MULTI_STATUS : HttpStatus.OK,
                        result));
    }

    private Mono<ServerResponse> preview(List<PurgeTarget> targets, List<String> urls) {
        CacheCatalog.PurgeHits hits = cacheCatalog.countHits(PurgeCoordinator.distinctNames(targets));
        List<Mono<Object>> looks = urls.stream()
                .limit(20)
                .map(url -> cacheCatalog.inspectEntry(url, List.of()))
                .toList();
        return Flux.concat(looks).collectList().flatMap(found -> {
            var preview = new LinkedHashMap<String, Object>();
            preview.put("dryRun", true);
            preview.put("names", targets.stream().map(PurgeTarget::description).toList());
            preview.put("here", hits);
            preview.put("urls", found);
            return jsonResponse(HttpStatus.OK, preview);
        });
    }

    private static void addTargets(List<PurgeTarget> targets, String field, List<String> texts,
            Function<String, PurgeTarget> named) {
        for (int i = 0; i < texts.size(); i++) {
            targets.add(resolve(field + "[" + i + "]", texts.get(i), named));
        }
    }

    private static <T> T resolve(String field, String text, Function<String, T> named) {
        try {
            return named.apply(text);
        } catch (IllegalArgumentException wrong) {
            throw new BadRequestException(field + ": " + wrong.getMessage());
        }
    }

    // ---- routes

    private Mono<ServerResponse> changeBreaker(String route, StrictJson change, String by) {
        if (!breakerControl.breakerStates().containsKey(route)) {
            return ManagementExceptionHandler.problemResponse(HttpStatus.NOT_FOUND, "not-found",
                    breakerControl.unknownRouteMessage(route), Optional.empty());
        }
        RouteBreakerControl.BreakerCommand wish = change
                .getString("breaker", RouteBreakerControl.BreakerCommand.tokenList())
                .flatMap(RouteBreakerControl.BreakerCommand::parse)
                .orElseThrow(() -> new BadRequestException(
                        "breaker must be " + RouteBreakerControl.BreakerCommand.tokenList() + "."));
        return jsonResponse(HttpStatus.OK,
                Map.of("id", route, "breaker", breakerControl.changeBreaker(route, wish, by)));
    }

    // ---- in and out

    private Mono<StrictJson> readBody(ServerRequest request, Set<String> known) {
        if (!isJson(request)) {
            return Mono.error(new UnsupportedMediaTypeStatusException(
                    "The body must be JSON, with Content-Type: application/json."));
        }
        return DataBufferUtils
                .join(request.bodyToFlux(DataBuffer.class), MAX_BODY_BYTES)
                .map(buffer -> {
                    byte[] bytes = new byte[buffer.readableByteCount()];
                    buffer.read(bytes);
                    DataBufferUtils.release(buffer);
                    return bytes;
                })
                .defaultIfEmpty(new byte[0])
                .map(bytes -> StrictJson.parse(bytes, jsonReader, known));
    }

    private static boolean isJson(ServerRequest request) {
        try {
            return request.headers().contentType().filter(MediaType.APPLICATION_JSON::includes).isPresent();
        } catch (InvalidMediaTypeException broken) {
            return false;
        }
    }

    private static Mono<ServerResponse> withProblemResponses(Mono<ServerResponse> answer) {
        return answer
                .onErrorResume(BadRequestException.class, PurgeController::badRequest)
                .onErrorResume(IllegalArgumentException.class, PurgeController::badRequest)
                .onErrorResume(UnsupportedMediaTypeStatusException.class,
                        other -> ManagementExceptionHandler.problemResponse(HttpStatus.UNSUPPORTED_MEDIA_TYPE,
                                "content-type",
                                String.valueOf(other.getReason()), Optional.empty()))
                .onErrorResume(DataBufferLimitException.class,
                        large -> ManagementExceptionHandler.problemResponse(HttpStatus.PAYLOAD_TOO_LARGE, "too-large",
                                "The body is larger than " + MAX_BODY_BYTES + " bytes: split the batch.",
                                Optional.empty()))
                .onErrorResume(TierUnavailableException.class,
                        away -> ManagementExceptionHandler.problemResponse(HttpStatus.SERVICE_UNAVAILABLE, "redis",
                                "Redis could not be written: nothing is promised to be purged. Try again.",
                                Optional.of(RETRY_AFTER)));
    }

    private static Mono<ServerResponse> badRequest(Throwable input) {
        return ManagementExceptionHandler.problemResponse(HttpStatus.BAD_REQUEST, "bad-input",
                String.valueOf(input.getMessage()),
                Optional.empty());
    }

    private static Mono<ServerResponse> jsonResponse(HttpStatus status, Object body) {
        return ServerResponse.status(status).contentType(MediaType.APPLICATION_JSON).bodyValue(body);
    }
}
