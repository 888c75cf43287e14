package dev.corral.management.purge;

import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.Freshness;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.SurrogateTags;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.TierKey;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.RequestTarget;
import dev.corral.proxy.ClientRequest;
import dev.corral.proxy.ProxyContext;
import dev.corral.proxy.PurgeNames;
import dev.corral.proxy.Route;
import dev.corral.proxy.RouteTable;
import dev.corral.proxy.observe.RequestTracing;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgeRegistry.PurgeVerdict;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import reactor.core.publisher.Mono;

/**
 * Finds cached responses by the names that operators use: URL, tag, prefix and route. It resolves them to purge names, counts the
 * responses a purge would hit in this process's memory, and reports what is stored for a URL. Lookups go the way of a request,
 * through near cache and Redis, but never fetch from the origin. Thread-safe.
 */
public final class CacheInspector {

    /** The time limit for reading from a slow Redis; as long as an operator waits for a page. */
    private static final Duration LOOKUP_TIMEOUT = Duration.ofSeconds(5);

    /** An absolute URL or a path, without user and fragment, and without characters that are invalid in a request line. */
    private static final Pattern URL_PATTERN = Pattern
            .compile("(?:(?<scheme>https?)://(?<authority>[^/?#@\\s\\p{Cntrl}\\\\]+))?(?<path>/[^?#\\s\\p{Cntrl}]*)?"
                    + "(?:\\?(?<query>[^#\\s\\p{Cntrl}]*))?", Pattern.CASE_INSENSITIVE);

    /** Bounds the size of a purge name; longer than any useful key. */
    private static final int MAX_URL_LENGTH = 8_192;

    /**
     * The resolved form of an operator's target.
     *
     * @param description readable text
     * @param names       purge names for {@link PurgeRegistry}
     */
    public record ResolvedTarget(String description, List<String> names) {}

    /**
     * The entry stored for a URL.
     *
     * @param url      the URL in the form of its cache key
     * @param state    absent, fresh, stale, pointer (a Vary marker: the variants have their own keys), hit-for-miss (requests are not
     *                 coalesced), purged
     * @param reason   the reason of a marker, or of the origin's last failure; empty otherwise
     * @param status   the status of the stored response; 0 when there is none
     * @param vary     the request fields that select a variant; empty when there are no variants
     * @param selected the normalized values of those fields in this lookup
     * @param fields   the fields of the stored response, without credentials
     * @param bytes    the length of the stored body
     * @param position the purge position before the response was fetched; 0 when absent
     * @param purgedBy the names of later purges that hit the entry; empty when there is none
     */
    public record EntryReport(String url, String route, String key, String state, String reason, int status,
            List<String> vary,
            List<String> selected, Optional<Long> ageSeconds, Optional<Long> ttlSeconds, Optional<Instant> storedAt,
            List<String> tags, List<String> fields, int bytes, boolean inFlight, long position,
            List<String> purgedBy) {}

    /** How many responses in this process's memory match, and how many there are. */
    public record LocalHits(long matching, long total) {}

    private final ProxyContext context;
    private final RouteTable routes;
    private final Supplier<Stream<Entry>> localEntries;

    /** @param localEntries the entries in this process's memory */
    public CacheInspector(ProxyContext context, List<Route> routes, Supplier<Stream<Entry>> localEntries) {
        this.context = context;
        this.routes = new RouteTable(routes);
        this.localEntries = localEntries;
    }

    /**
     * All variants of a URL, or of a path if the client's host is not part of its key.
     *
     * @throws IllegalArgumentException with a sentence that says why the text is invalid
     */
    public ResolvedTarget urlTarget(String url) {
        return new ResolvedTarget("url:" + url, List.of(purgeNames(parseUrl(url)).urlName()));
    }

    /** All variants of a target on this host for http and https, for callers that do not know the scheme. */
    public ResolvedTarget urlTarget(String host, String target) {
        List<PurgeNames> namesByScheme = Stream.of("http", "https")
                .map(scheme -> purgeNames(parseUrl(scheme + "://" + host + target)))
                .toList();
        return new ResolvedTarget("url:" + (namesByScheme.getFirst().hostInKey() ? host : "") + target,
                namesByScheme.stream().map(PurgeNames::urlName).distinct().toList());
    }

    /**
     * All URLs that start with this string: {@code /shoes} also matches {@code /shoes-for-men}.
     *
     * @throws IllegalArgumentException with a sentence that says why the text is invalid
     */
    public ResolvedTarget prefixTarget(String prefix) {
        ParsedUrl parsed = parseUrl(prefix);
        require(parsed.query().isEmpty(), prefix, "must not have a query: it is the beginning of a path");
        return new ResolvedTarget("prefix:" + prefix, parsed.authority()
                .map(authority -> PurgeNames.prefixNames(parsed.scheme(), authority, parsed.path()))
                .orElseGet(() -> List.of(PurgeNames.prefixName(parsed.path()))));
    }

    /**
     * All URLs on this host that start with a path, for http and https; on any host where the host is not part of the key.
     *
     * @param path the beginning of a path
     * @throws IllegalArgumentException with a sentence that says why the text is invalid
     */
    public ResolvedTarget prefixTarget(String host, String path) {
        return new ResolvedTarget("prefix:" + host + path, Stream.of("http", "https")
                .flatMap(scheme -> prefixTarget(scheme + "://" + host + path).names().stream())
                .distinct()
                .toList());
    }

    /**
     * All responses with this tag.
     *
     * @throws IllegalArgumentException with a sentence that says why the text is invalid
     */
    public ResolvedTarget tagTarget(String tag) {
        require(!tag.isBlank() && tag.equals(tag.strip()) && tag.length() <= SurrogateTags.MAX_TAG_LENGTH
                && tag.chars().noneMatch(Character::isISOControl), tag,
                "must be 1 to " + SurrogateTags.MAX_TAG_LENGTH
                        + " characters, without surrounding spaces or control characters");
        return new ResolvedTarget("tag:" + tag, List.of(PurgeNames.tagName(tag)));
    }

    /**
     * All responses with one of the tags in this field line, which is split like a response's field line.
     *
     * @throws IllegalArgumentException with a sentence that says why the text is invalid
     */
    public List<ResolvedTarget> tagTargets(String field, String line) {
        return SurrogateTags.split(field, line).stream().map(this::tagTarget).toList();
    }

    /**
     * All responses of one route.
     *
     * @throws IllegalArgumentException with a sentence that says why the text is invalid
     */
    public ResolvedTarget routeTarget(String id) {
        List<String> ids = routes.routes().stream().map(Route::id).toList();
        require(ids.contains(id), id, "is not a route. Routes: " + String.join(", ", ids));
        return new ResolvedTarget("route:" + id, List.of(PurgeNames.routeName(id)));
    }

    /** All responses. */
    public ResolvedTarget everything() {
        return new ResolvedTarget("all", List.of(PurgeRegistry.ALL_ENTRIES_NAME));
    }

    /** The number of responses in this process's memory that purges of these names would hit, and the number of all. */
    public LocalHits countHits(List<String> names) {
        var total = new LongAdder();
        long matching = localEntries.get().flatMap(CacheInspector::responses).filter(stored -> {
            total.increment();
            return purgeNamesOf(stored).filter(purgeNames -> matchesAny(names, purgeNames.allNames(stored.tags())))
                    .isPresent();
        }).count();
        return new LocalHits(matching, total.sum());
    }

    private static Stream<StoredResponse> responses(Entry entry) {
        return switch (entry) {
            case StoredResponse stored -> Stream.of(stored);
            case StaleOnError staleOnError -> Stream.of(staleOnError.staleResponse());
            case VaryMarker varyMarker -> Stream.empty();
            case HitForMiss marker -> Stream.empty();
            case FailedFill failure -> Stream.empty();
        };
    }

    private Optional<PurgeNames> purgeNamesOf(StoredResponse stored) {
        return routes.routes()
                .stream()
                .flatMap(route -> PurgeNames.ofEntry(stored.cacheKey(), route).stream())
                .findFirst();
    }

    private static boolean matchesAny(List<String> purged, List<String> names) {
        return purged.stream()
                .anyMatch(purge -> purge.equals(PurgeRegistry.ALL_ENTRIES_NAME) || names.contains(purge)
                        || (purge.startsWith(PurgeRegistry.PREFIX_NAME_MARKER)
                                && names.stream().anyMatch(name -> name.startsWith(purge))));
    }

    /**
     * The entry for a GET of this URL with these request fields.
     *
     * @param fields each as {@code Name: value}; only fields that select a variant or are part of the key matter
     * @throws IllegalArgumentException with a sentence that says why the URL or a field is invalid
     */
    public Mono<EntryReport> inspect(String url, List<String> fields) {
        ParsedUrl parsed = parseUrl(url);
        Route route = matchRoute(parsed);
        RequestHead head = RequestHead.parse("GET",
                HeaderFields.of(fields.stream().map(CacheInspector::parseFieldLine).toList()));
        var connection = new Forwarding.ClientConnection("operator", parsed.scheme(), parsed.authority().orElse(""),
                "1.1");
        ClientRequest request = ClientRequest.of(route, head, new RequestTarget(parsed.path(), parsed.query()),
                connection,
                interim -> {},
                RequestTracing.RequestSpan.NONE);
        TierKey resourceKey = request.keys().resourceKey();
        return context.coalescer()
                .find(resourceKey, LOOKUP_TIMEOUT)
                .filter(entry -> entry.cacheKey().equals(request.keys().cacheKey()))
                .flatMap(entry -> entry instanceof VaryMarker varyMarker && !varyMarker.fieldNames().isEmpty()
                        ? inspectVariant(request, varyMarker)
                        : Mono.just(entryReport(request, resourceKey, List.of(), entry)))
                .defaultIfEmpty(absentReport(request, resourceKey, List.of()));
    }

    private Mono<EntryReport> inspectVariant(ClientRequest request, VaryMarker varyMarker) {
        HeaderFields selecting = Vary.selectingFields(varyMarker.fieldNames(), request.head().fields(),
                request.route().cachePolicy());
        TierKey key = request.keys().variantKey(selecting);
        return context.coalescer()
                .find(key, LOOKUP_TIMEOUT)
                .filter(entry -> entry.cacheKey().equals(request.keys().cacheKey()))
                .map(entry -> entryReport(request, key, varyMarker.fieldNames(), entry))
                .defaultIfEmpty(absentReport(request, key, varyMarker.fieldNames()));
    }

    private EntryReport absentReport(ClientRequest request, TierKey key, List<String> vary) {
        return new EntryReport(request.keys().purgeNames().url(), request.route().id(), key.text(), "absent", "", 0,
                vary,
                selectingValues(request, vary), Optional.empty(), Optional.empty(), Optional.empty(), List.of(),
                List.of(), 0,
                context.coalescer().isInFlight(key), 0, List.of());
    }

    private EntryReport entryReport(ClientRequest request, TierKey key, List<String> vary, Entry entry) {
        EntryReport absent = absentReport(request, key, vary);
        List<String> purgedBy = request.keys()
                .purgeNamesOf(entry)
                .stream()
                .filter(name -> !(context.purges()
                        .verdict(List.of(name), entry.purgePosition()) instanceof PurgeVerdict.Valid))
                .toList();
        Optional<Entry> valid = request.keys().validEntry(entry, context.purges(), context.clock().instant());
        String purged = valid.isPresent() ? "" : "purged";
        return switch (valid.orElse(entry)) {
            case StoredResponse stored -> responseReport(absent, stored, purged, "", purgedBy);
            case StaleOnError staleOnError ->
                responseReport(absent, staleOnError.staleResponse(), purged, staleOnError.reason(), purgedBy);
            case HitForMiss marker ->
                markerReport(absent, purged.isEmpty() ? "hit-for-miss" : purged, marker.reason(), entry,
                        purgedBy);
            case VaryMarker varyMarker ->
                markerReport(absent, purged.isEmpty() ? "pointer" : purged, "", entry, purgedBy);
            case FailedFill failure -> markerReport(absent, "absent", failure.reason(), entry, purgedBy);
        };
    }

    private static EntryReport markerReport(EntryReport absent, String state, String reason, Entry entry,
            List<String> purgedBy) {
        return new EntryReport(absent.url, absent.route, absent.key, state, reason, 0, absent.vary,
                absent.selected,
                Optional.empty(), Optional.empty(), Optional.empty(), List.of(), List.of(), 0, absent.inFlight,
                entry.purgePosition(), purgedBy);
    }

    private EntryReport responseReport(EntryReport absent, StoredResponse stored, String purged, String reason,
            List<String> purgedBy) {
        Instant now = context.clock().instant();
        Freshness freshness = stored.freshness();
        String state = purged.isEmpty() ? freshness.isFresh(now) ? "fresh" : "stale" : purged;
        List<String> fields = stored.head()
                .fields()
                .lines()
                .stream()
                .filter(field -> !isSensitive(field.name()))
                .map(field -> field.name() + ": " + field.value())
                .toList();
        return new EntryReport(absent.url, absent.route, absent.key, state, reason, stored.head().status(),
                absent.vary,
                absent.selected, Optional.of(freshness.age(now).toSeconds()),
                Optional.of(freshness.ttl(now).toSeconds()),
                Optional.of(freshness.responseTime()), stored.tags(), fields, stored.body().length(), absent.inFlight,
                stored.purgePosition(), purgedBy);
    }

    private static boolean isSensitive(String field) {
        String name = field.toLowerCase(Locale.ROOT);
        return name.startsWith("set-cookie") || name.contains("auth") || name.contains("token")
                || name.contains("secret");
    }

    private static List<String> selectingValues(ClientRequest request, List<String> vary) {
        var selected = new ArrayList<String>();
        for (HeaderFields.FieldLine field : Vary.selectingFields(vary, request.head().fields(),
                request.route().cachePolicy())) {
            selected.add(field.name() + ": " + (field.value().equals(Vary.ABSENT_VALUE) ? "" : field.value()));
        }
        return selected;
    }

    private record ParsedUrl(String scheme, Optional<String> authority, String path, Optional<String> query) {}

    private static ParsedUrl parseUrl(String url) {
        require(url.length() <= MAX_URL_LENGTH, url.substring(0, Math.min(80, url.length())),
                "must be at most " + MAX_URL_LENGTH + " characters");
        Matcher parts = URL_PATTERN.matcher(url);
        require(!url.isEmpty() && parts.matches() && (parts.group("authority") != null || parts.group("path") != null),
                url, "must be an absolute http or https URL or a path that begins with /, without user and fragment");
        String path = Optional.ofNullable(parts.group("path")).orElse("/");
        return new ParsedUrl(Optional.ofNullable(parts.group("scheme")).orElse("http").toLowerCase(Locale.ROOT),
                Optional.ofNullable(parts.group("authority")), path, Optional.ofNullable(parts.group("query")));
    }

    private PurgeNames purgeNames(ParsedUrl parsed) {
        return PurgeNames.of(matchRoute(parsed), parsed.scheme(), parsed.authority().orElse(""), parsed.path(),
                parsed.query());
    }

    private Route matchRoute(ParsedUrl parsed) {
        Route route = switch (routes.match(new RequestTarget(parsed.path(), parsed.query()))) {
            case RouteTable.RouteMatch.MatchedRoute(Route matched) -> matched;
            case RouteTable.RouteMatch.NoRoute none ->
                throw new IllegalArgumentException("no route matches the path " + parsed.path());
            case RouteTable.RouteMatch.AmbiguousPath ambiguous -> throw new IllegalArgumentException(
                    parsed.path() + " is ambiguous: requests with such dot segments or encoded slashes are rejected");
        };
        require(parsed.authority().isPresent() || !(route.hostHeader() instanceof Route.HostHeaderRule.ClientHost),
                parsed.path(),
                "needs a scheme and a host: they are part of the cache key on route " + route.id());
        return route;
    }

    private static HeaderFields.FieldLine parseFieldLine(String line) {
        int colon = line.indexOf(':');
        require(colon > 0, line, "must be a field name, a colon and a value");
        return new HeaderFields.FieldLine(line.substring(0, colon).strip(), line.substring(colon + 1).strip());
    }

    private static void require(boolean condition, String input, String message) {
        if (!condition) {
            throw new IllegalArgumentException(input + " " + message);
        }
    }
}
