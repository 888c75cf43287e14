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

/** What is cached, as operators name it: by URL, tag, prefix, route. Looks like a request does, and fetches nothing. Thread-safe. */
public final class CacheInspector {

    /** For a Redis that is slow: an operator waits for it as long as for a page. */
    private static final Duration LOOKUP_TIMEOUT = Duration.ofSeconds(5);

    /** An absolute URL, or the path of one; neither user nor fragment, and nothing that could not stand in a request line. */
    private static final Pattern URL_PATTERN = Pattern
            .compile("(?:(?<scheme>https?)://(?<authority>[^/?#@\\s\\p{Cntrl}\\\\]+))?(?<path>/[^?#\\s\\p{Cntrl}]*)?"
                    + "(?:\\?(?<query>[^#\\s\\p{Cntrl}]*))?", Pattern.CASE_INSENSITIVE);

    /** Longer than any key needs: such a name would only fill the fleet's record. */
    private static final int MAX_URL_LENGTH = 8_192;

    /**
     * What an operator has named.
     *
     * @param description in words, for people
     * @param names       for {@link PurgeRegistry}
     */
    public record ResolvedTarget(String description, List<String> names) {}

    /**
     * What is stored for a URL.
     *
     * @param url      as its key has it
     * @param state    absent, fresh, stale, pointer (the variants lie under keys of their own),
     *                 hit-for-miss (requests do not wait for each other), purged
     * @param reason   of a marker, or of the origin's last failure; empty otherwise
     * @param status   of the stored answer; 0 when there is none
     * @param vary     the request fields that select a variant; empty when none does
     * @param selected what this look had for them, normalised
     * @param fields   of the stored answer, without credentials
     * @param position the purge position before its fetch; 0 when absent
     * @param purgedBy the names of purges that have hit it since; empty when none has
     */
    public record EntryReport(String url, String route, String key, String state, String reason, int status,
            List<String> vary,
            List<String> selected, Optional<Long> ageSeconds, Optional<Long> ttlSeconds, Optional<Instant> storedAt,
            List<String> tags, List<String> fields, int bytes, boolean inFlight, long position,
            List<String> purgedBy) {}

    /** How many answers are hit, of how many. */
    public record LocalHits(long matching, long total) {}

    private final ProxyContext context;
    private final RouteTable routes;
    private final Supplier<Stream<Entry>> localEntries;

    /** @param memory the answers in this process's memory */
    public CacheInspector(ProxyContext edge, List<Route> routes, Supplier<Stream<Entry>> memory) {
        this.context = edge;
        this.routes = new RouteTable(routes);
        this.localEntries = memory;
    }

    /**
     * All variants of a URL, or of a path if no client's host is part of its key.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public ResolvedTarget urlTarget(String url) {
        return new ResolvedTarget("url:" + url, List.of(purgeNames(parseUrl(url)).urlName()));
    }

    /** Likewise, for whichever scheme: for callers that cannot tell. */
    public ResolvedTarget urlTarget(String host, String target) {
        List<PurgeNames> places = Stream.of("http", "https")
                .map(scheme -> purgeNames(parseUrl(scheme + "://" + host + target)))
                .toList();
        return new ResolvedTarget("url:" + (places.getFirst().hostInKey() ? host : "") + target,
                places.stream().map(PurgeNames::urlName).distinct().toList());
    }

    /**
     * All whose URL begins so, to the letter: {@code /shoes} begins {@code /shoes-for-men} too.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public ResolvedTarget prefixTarget(String prefix) {
        ParsedUrl read = parseUrl(prefix);
        require(read.query().isEmpty(), prefix, "must have no query: it is the beginning of a path");
        return new ResolvedTarget("prefix:" + prefix, read.authority()
                .map(authority -> PurgeNames.prefixNames(read.scheme(), authority, read.path()))
                .orElseGet(() -> List.of(PurgeNames.prefixName(read.path()))));
    }

    /**
     * Likewise on this host, for whichever scheme; on any host where that is no part of the key.
     *
     * @param path the beginning of one
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public ResolvedTarget prefixTarget(String host, String path) {
        return new ResolvedTarget("prefix:" + host + path, Stream.of("http", "https")
                .flatMap(scheme -> prefixTarget(scheme + "://" + host + path).names().stream())
                .distinct()
                .toList());
    }

    /**
     * All the origin has given this tag.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public ResolvedTarget tagTarget(String tag) {
        require(!tag.isBlank() && tag.equals(tag.strip()) && tag.length() <= SurrogateTags.MAX_TAG_LENGTH
                && tag.chars().noneMatch(Character::isISOControl), tag,
                "must be 1 to " + SurrogateTags.MAX_TAG_LENGTH
                        + " characters, without blanks around it or control characters");
        return new ResolvedTarget("tag:" + tag, List.of(PurgeNames.tagName(tag)));
    }

    /**
     * All the origin has given one of the tags that this line of a field names, as an answer's line would.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public List<ResolvedTarget> tagTargets(String field, String line) {
        return SurrogateTags.split(field, line).stream().map(this::tagTarget).toList();
    }

    /**
     * All of one route.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public ResolvedTarget routeTarget(String id) {
        List<String> ids = routes.routes().stream().map(Route::id).toList();
        require(ids.contains(id), id, "is no route; there are " + String.join(", ", ids));
        return new ResolvedTarget("route:" + id, List.of(PurgeNames.routeName(id)));
    }

    /** Everything. */
    public ResolvedTarget everything() {
        return new ResolvedTarget("all", List.of(PurgeRegistry.ALL_ENTRIES_NAME));
    }

    /** How many of the answers in this process's memory purges of these names would hit, and how many there are. */
    public LocalHits countHits(List<String> names) {
        var of = new LongAdder();
        long hit = localEntries.get().flatMap(CacheInspector::responses).filter(stored -> {
            of.increment();
            return purgeNamesOf(stored).filter(place -> matchesAny(names, place.allNames(stored.tags()))).isPresent();
        }).count();
        return new LocalHits(hit, of.sum());
    }

    private static Stream<StoredResponse> responses(Entry entry) {
        return switch (entry) {
            case StoredResponse stored -> Stream.of(stored);
            case StaleOnError ailing -> Stream.of(ailing.staleResponse());
            case VaryMarker pointer -> Stream.empty();
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
     * What is stored for a GET of this URL with these fields.
     *
     * @param fields each as {@code Name: value}; those that select a variant, or are part of the key
     * @throws IllegalArgumentException with a sentence that says what is wrong with the URL or a field
     */
    public Mono<EntryReport> inspect(String url, List<String> fields) {
        ParsedUrl read = parseUrl(url);
        Route route = matchRoute(read);
        RequestHead asked = RequestHead.parse("GET",
                HeaderFields.of(fields.stream().map(CacheInspector::parseFieldLine).toList()));
        var from = new Forwarding.ClientConnection("operator", read.scheme(), read.authority().orElse(""), "1.1");
        ClientRequest request = ClientRequest.of(route, asked, new RequestTarget(read.path(), read.query()), from,
                interim -> {},
                RequestTracing.RequestSpan.NONE);
        TierKey resource = request.keys().resourceKey();
        return context.coalescer()
                .find(resource, LOOKUP_TIMEOUT)
                .filter(entry -> entry.cacheKey().equals(request.keys().cacheKey()))
                .flatMap(entry -> entry instanceof VaryMarker pointer && !pointer.fieldNames().isEmpty()
                        ? inspectVariant(request, pointer)
                        : Mono.just(entryReport(request, resource, List.of(), entry)))
                .defaultIfEmpty(absentReport(request, resource, List.of()));
    }

    private Mono<EntryReport> inspectVariant(ClientRequest request, VaryMarker pointer) {
        HeaderFields selecting = Vary.selectingFields(pointer.fieldNames(), request.head().fields(),
                request.route().cachePolicy());
        TierKey key = request.keys().variantKey(selecting);
        return context.coalescer()
                .find(key, LOOKUP_TIMEOUT)
                .filter(entry -> entry.cacheKey().equals(request.keys().cacheKey()))
                .map(entry -> entryReport(request, key, pointer.fieldNames(), entry))
                .defaultIfEmpty(absentReport(request, key, pointer.fieldNames()));
    }

    private EntryReport absentReport(ClientRequest request, TierKey key, List<String> vary) {
        return new EntryReport(request.keys().purgeNames().url(), request.route().id(), key.text(), "absent", "", 0,
                vary,
                selectingValues(request, vary), Optional.empty(), Optional.empty(), Optional.empty(), List.of(),
                List.of(), 0,
                context.coalescer().isInFlight(key), 0, List.of());
    }

    private EntryReport entryReport(ClientRequest request, TierKey key, List<String> vary, Entry entry) {
        EntryReport nothing = absentReport(request, key, vary);
        List<String> purgedBy = request.keys()
                .purgeNamesOf(entry)
                .stream()
                .filter(name -> !(context.purges()
                        .verdict(List.of(name), entry.purgePosition()) instanceof PurgeVerdict.Valid))
                .toList();
        Optional<Entry> valid = request.keys().validEntry(entry, context.purges(), context.clock().instant());
        String purged = valid.isPresent() ? "" : "purged";
        return switch (valid.orElse(entry)) {
            case StoredResponse stored -> responseReport(nothing, stored, purged, "", purgedBy);
            case StaleOnError ailing ->
                responseReport(nothing, ailing.staleResponse(), purged, ailing.reason(), purgedBy);
            case HitForMiss marker ->
                markerReport(nothing, purged.isEmpty() ? "hit-for-miss" : purged, marker.reason(), entry,
                        purgedBy);
            case VaryMarker pointer ->
                markerReport(nothing, purged.isEmpty() ? "pointer" : purged, "", entry, purgedBy);
            case FailedFill failure -> markerReport(nothing, "absent", failure.reason(), entry, purgedBy);
        };
    }

    private static EntryReport markerReport(EntryReport nothing, String state, String reason, Entry entry,
            List<String> purgedBy) {
        return new EntryReport(nothing.url, nothing.route, nothing.key, state, reason, 0, nothing.vary,
                nothing.selected,
                Optional.empty(), Optional.empty(), Optional.empty(), List.of(), List.of(), 0, nothing.inFlight,
                entry.purgePosition(), purgedBy);
    }

    private EntryReport responseReport(EntryReport nothing, StoredResponse stored, String purged, String reason,
            List<String> purgedBy) {
        Instant now = context.clock().instant();
        Freshness terms = stored.freshness();
        String state = purged.isEmpty() ? terms.isFresh(now) ? "fresh" : "stale" : purged;
        List<String> fields = stored.head()
                .fields()
                .lines()
                .stream()
                .filter(field -> !isSensitive(field.name()))
                .map(field -> field.name() + ": " + field.value())
                .toList();
        return new EntryReport(nothing.url, nothing.route, nothing.key, state, reason, stored.head().status(),
                nothing.vary,
                nothing.selected, Optional.of(terms.age(now).toSeconds()), Optional.of(terms.ttl(now).toSeconds()),
                Optional.of(terms.responseTime()), stored.tags(), fields, stored.body().length(), nothing.inFlight,
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

    // ---- reading

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

    private PurgeNames purgeNames(ParsedUrl read) {
        return PurgeNames.of(matchRoute(read), read.scheme(), read.authority().orElse(""), read.path(), read.query());
    }

    private Route matchRoute(ParsedUrl read) {
        Route route = switch (routes.match(new RequestTarget(read.path(), read.query()))) {
            case RouteTable.RouteMatch.MatchedRoute(Route found) -> found;
            case RouteTable.RouteMatch.NoRoute none ->
                throw new IllegalArgumentException(read.path() + " matches the path of no route");
            case RouteTable.RouteMatch.AmbiguousPath ambiguous -> throw new IllegalArgumentException(
                    read.path() + " is ambiguous: no request with such dot segments or encoded slashes is served");
        };
        require(read.authority().isPresent() || !(route.hostHeader() instanceof Route.HostHeaderRule.ClientHost),
                read.path(),
                "needs its scheme and host: they are part of the key on route " + route.id());
        return route;
    }

    private static HeaderFields.FieldLine parseFieldLine(String line) {
        int colon = line.indexOf(':');
        require(colon > 0, line, "must be the name of a field, a colon and its value");
        return new HeaderFields.FieldLine(line.substring(0, colon).strip(), line.substring(colon + 1).strip());
    }

    private static void require(boolean holds, String what, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(what + " " + otherwise);
        }
    }
}
