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
 * The HTTP interface of purges and breaker changes on the management port: {@code POST /actuator/purge}, {@code PURGE} of a URL as
 * content management systems send it to Varnish, and {@code POST /actuator/routes/{id}}. Invalid input gets 400 with a message that
 * names it. Thread-safe.
 */
public final class PurgeController {

    private static final HttpMethod PURGE_METHOD = HttpMethod.valueOf("PURGE");

    /** The request fields that carry the tags of a {@code PURGE}. */
    private static final List<String> TAG_HEADERS = List.of("Surrogate-Key", "xkey", "Cache-Tag");

    private static final Pattern ABSOLUTE_FORM = Pattern.compile("(?i:https?)://(?<host>[^/?]*)(?<target>.*)");

    /** Enough for a thousand long names. */
    private static final int MAX_BODY_BYTES = 2 << 20;

    /** Redis' circuit breaker probes Redis again within a second. */
    private static final Duration RETRY_AFTER = Duration.ofSeconds(1);

    private static final Set<String> PURGE_MEMBERS = Set.of("urls", "tags", "prefixes", "routes", "all", "soft", "wait",
            "dryRun");

    private static final Set<String> ROUTE_MEMBERS = Set.of("breaker");

    private final PurgeCoordinator purgeCoordinator;
    private final CacheCatalog cacheCatalog;
    private final RouteBreakerControl breakerControl;
    private final ObjectReader jsonReader;

    /** @param objectMapper the application's */
    public PurgeController(PurgeCoordinator purgeCoordinator, CacheCatalog cacheCatalog,
            RouteBreakerControl breakerControl, ObjectMapper objectMapper) {
        this.purgeCoordinator = purgeCoordinator;
        this.cacheCatalog = cacheCatalog;
        this.breakerControl = breakerControl;
        this.jsonReader = StrictJson.strictReader(objectMapper);
    }

    /**
     * The routes for purges and breaker changes.
     *
     * @param base the path of the management endpoints, such as {@code /actuator}
     */
    public RouterFunction<ServerResponse> routes(String base) {
        return RouterFunctions.route()
                .POST(base + "/purge", request -> withProblemResponses(readBody(request, PURGE_MEMBERS)
                        .flatMap(body -> AuditUser.nameOf(request.exchange()).flatMap(by -> purgeByJson(body, by)))))
                .POST(base + "/routes/{id}", request -> withProblemResponses(readBody(request, ROUTE_MEMBERS)
                        .flatMap(change -> AuditUser.nameOf(request.exchange())
                                .flatMap(by -> changeBreaker(request.pathVariable("id"), change, by)))))
                .route(RequestPredicates.method(PURGE_METHOD),
                        request -> withProblemResponses(
                                AuditUser.nameOf(request.exchange()).flatMap(by -> purgeByMethod(request, by))))
                .build();
    }

    // ---- purge

    private Mono<ServerResponse> purgeByJson(StrictJson body, String by) {
        List<String> urls = body.getStrings("urls");
        var targets = new ArrayList<PurgeTarget>();
        addTargets(targets, "urls", urls, this::literalUrlTarget);
        addTargets(targets, "tags", body.getStrings("tags"), cacheCatalog::tagTarget);
        addTargets(targets, "prefixes", body.getStrings("prefixes"), cacheCatalog::prefixTarget);
        addTargets(targets, "routes", body.getStrings("routes"), cacheCatalog::routeTarget);
        if (body.getBoolean("all", false)) {
            targets.add(cacheCatalog.everything());
        }
        boolean soft = body.getBoolean("soft", false);
        boolean wait = body.getBoolean("wait", true);
        boolean dryRun = body.getBoolean("dryRun", false);
        if (targets.isEmpty()) {
            throw new BadRequestException(
                    "The purge has no target: give urls, tags, prefixes, routes or \"all\": true.");
        }
        return dryRun ? preview(targets, urls) : purge(targets, soft, by, wait);
    }

    private Mono<ServerResponse> purgeByMethod(ServerRequest request, String by) {
        HttpHeaders fields = request.headers().asHttpHeaders();
        PluginPurgeParser.rejectUnsupportedHeaders(fields);
        var targets = new ArrayList<PurgeTarget>();
        Optional<PluginPurgeParser.TagPattern> pattern = PluginPurgeParser.parseTagPattern(fields);
        if (pattern.isPresent() && pattern.get().isAll()) {
            return purge(List.of(cacheCatalog.everything()), isSoft(request), by, true);
        }
        pattern.ifPresent(
                present -> addTargets(targets, "X-Magento-Tags-Pattern", present.tags(), cacheCatalog::tagTarget));
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

    /** The target as in the request line. The host of an absolute URL replaces Host (RFC 9112 section 3.2.2). */
    private PurgeTarget requestTarget(ServerRequest request) {
        HttpServerRequest nettyRequest = ServerHttpRequestDecorator.getNativeRequest(request.exchange().getRequest());
        Matcher absolute = ABSOLUTE_FORM.matcher(nettyRequest.uri());
        HttpHeaders fields = request.headers().asHttpHeaders();
        if (absolute.matches()) {
            return urlTarget(fields, absolute.group("host"), absolute.group("target"));
        }
        if (!nettyRequest.uri().startsWith("/") && !nettyRequest.uri().equals(".*")) {
            throw new BadRequestException("PURGE takes a path, or an absolute http or https URL.");
        }
        return urlTarget(fields, Optional.ofNullable(fields.getFirst("Host")).orElse(""), nettyRequest.uri());
    }

    private PurgeTarget literalUrlTarget(String url) {
        if (url.endsWith(".*")) {
            throw new IllegalArgumentException(
                    url + " looks like a pattern: use prefixes for the beginning of a URL. In a URL, write * as %2A.");
        }
        return cacheCatalog.urlTarget(url);
    }

    private PurgeTarget urlTarget(HttpHeaders fields, String host, String target) {
        PluginPurgeParser.PathTarget pathTarget = PluginPurgeParser.parseTarget(fields,
                target.startsWith("/") ? target : "/" + target);
        return resolve("The URL", pathTarget.path(), pathTarget.isPrefix()
                ? prefix -> cacheCatalog.prefixTarget(host, prefix)
                : path -> cacheCatalog.urlTarget(host, path));
    }

    private static boolean isSoft(ServerRequest request) {
        String mode = Optional.ofNullable(request.headers().firstHeader("Corral-Purge")).orElse("hard");
        if (!mode.equalsIgnoreCase("soft") && !mode.equalsIgnoreCase("hard")) {
            throw new BadRequestException("Corral-Purge must be soft or hard, not " + mode + ".");
        }
        return mode.equalsIgnoreCase("soft") || "1".equals(request.headers().firstHeader("Fastly-Soft-Purge"));
    }

    private Mono<ServerResponse> purge(List<PurgeTarget> targets, boolean soft, String by, boolean wait) {
        return purgeCoordinator.purge(targets, soft, by, wait)
                .flatMap(result -> jsonResponse(wait && !result.complete() ? HttpStatus.MULTI_STATUS : HttpStatus.OK,
                        result));
    }

    private Mono<ServerResponse> preview(List<PurgeTarget> targets, List<String> urls) {
        CacheCatalog.PurgeHits hits = cacheCatalog.countHits(PurgeCoordinator.distinctNames(targets));
        List<Mono<Object>> reports = urls.stream()
                .limit(20)
                .map(url -> cacheCatalog.inspectEntry(url, List.of()))
                .toList();
        return Flux.concat(reports).collectList().flatMap(entries -> {
            var preview = new LinkedHashMap<String, Object>();
            preview.put("dryRun", true);
            preview.put("names", targets.stream().map(PurgeTarget::description).toList());
            preview.put("here", hits);
            preview.put("urls", entries);
            return jsonResponse(HttpStatus.OK, preview);
        });
    }

    private static void addTargets(List<PurgeTarget> targets, String field, List<String> texts,
            Function<String, PurgeTarget> resolver) {
        for (int i = 0; i < texts.size(); i++) {
            targets.add(resolve(field + "[" + i + "]", texts.get(i), resolver));
        }
    }

    private static <T> T resolve(String field, String text, Function<String, T> resolver) {
        try {
            return resolver.apply(text);
        } catch (IllegalArgumentException e) {
            throw new BadRequestException(field + ": " + e.getMessage());
        }
    }

    // ---- routes

    private Mono<ServerResponse> changeBreaker(String route, StrictJson change, String by) {
        if (!breakerControl.breakerStates().containsKey(route)) {
            return ManagementExceptionHandler.problemResponse(HttpStatus.NOT_FOUND, "not-found",
                    breakerControl.unknownRouteMessage(route), Optional.empty());
        }
        RouteBreakerControl.BreakerCommand command = change
                .getString("breaker", RouteBreakerControl.BreakerCommand.tokenList())
                .flatMap(RouteBreakerControl.BreakerCommand::parse)
                .orElseThrow(() -> new BadRequestException(
                        "breaker must be " + RouteBreakerControl.BreakerCommand.tokenList() + "."));
        return jsonResponse(HttpStatus.OK,
                Map.of("id", route, "breaker", breakerControl.changeBreaker(route, command, by)));
    }

    // ---- requests and responses

    private Mono<StrictJson> readBody(ServerRequest request, Set<String> allowedMembers) {
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
                .map(bytes -> StrictJson.parse(bytes, jsonReader, allowedMembers));
    }

    private static boolean isJson(ServerRequest request) {
        try {
            return request.headers().contentType().filter(MediaType.APPLICATION_JSON::includes).isPresent();
        } catch (InvalidMediaTypeException e) {
            return false;
        }
    }

    private static Mono<ServerResponse> withProblemResponses(Mono<ServerResponse> response) {
        return response
                .onErrorResume(BadRequestException.class, PurgeController::badRequest)
                .onErrorResume(IllegalArgumentException.class, PurgeController::badRequest)
                .onErrorResume(UnsupportedMediaTypeStatusException.class,
                        e -> ManagementExceptionHandler.problemResponse(HttpStatus.UNSUPPORTED_MEDIA_TYPE,
                                "content-type",
                                String.valueOf(e.getReason()), Optional.empty()))
                .onErrorResume(DataBufferLimitException.class,
                        ignored -> ManagementExceptionHandler.problemResponse(HttpStatus.PAYLOAD_TOO_LARGE, "too-large",
                                "The body is larger than " + MAX_BODY_BYTES + " bytes: split the batch.",
                                Optional.empty()))
                .onErrorResume(TierUnavailableException.class,
                        ignored -> ManagementExceptionHandler.problemResponse(HttpStatus.SERVICE_UNAVAILABLE, "redis",
                                "The purge could not be written to Redis and may not have taken effect. Try again.",
                                Optional.of(RETRY_AFTER)));
    }

    private static Mono<ServerResponse> badRequest(Throwable e) {
        return ManagementExceptionHandler.problemResponse(HttpStatus.BAD_REQUEST, "bad-input",
                String.valueOf(e.getMessage()),
                Optional.empty());
    }

    private static Mono<ServerResponse> jsonResponse(HttpStatus status, Object body) {
        return ServerResponse.status(status).contentType(MediaType.APPLICATION_JSON).bodyValue(body);
    }
}
