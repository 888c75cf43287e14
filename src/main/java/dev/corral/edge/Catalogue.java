package dev.corral.edge;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Verdict;
import dev.corral.http.Ailing;
import dev.corral.http.Asked;
import dev.corral.http.Entry;
import dev.corral.http.Failure;
import dev.corral.http.Fields;
import dev.corral.http.Forwarding;
import dev.corral.http.HitForMiss;
import dev.corral.http.RequestTarget;
import dev.corral.http.Stored;
import dev.corral.http.Tags;
import dev.corral.http.Terms;
import dev.corral.http.Variant;
import dev.corral.http.Varies;
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
public final class Catalogue {

    /** For a Redis that is slow: an operator waits for it as long as for a page. */
    private static final Duration PATIENCE = Duration.ofSeconds(5);

    /** An absolute URL, or the path of one; neither user nor fragment, and nothing that could not stand in a request line. */
    private static final Pattern URL = Pattern
            .compile("(?:(?<scheme>https?)://(?<authority>[^/?#@\\s\\p{Cntrl}\\\\]+))?(?<path>/[^?#\\s\\p{Cntrl}]*)?"
                    + "(?:\\?(?<query>[^#\\s\\p{Cntrl}]*))?", Pattern.CASE_INSENSITIVE);

    /** Longer than any key needs: such a name would only fill the fleet's record. */
    private static final int LONGEST = 8_192;

    /**
     * What an operator has named.
     *
     * @param told  in words, for people
     * @param names for {@link Purges}
     */
    public record Target(String told, List<String> names) {}

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
    public record Found(String url, String route, String key, String state, String reason, int status,
            List<String> vary,
            List<String> selected, Optional<Long> ageSeconds, Optional<Long> ttlSeconds, Optional<Instant> storedAt,
            List<String> tags, List<String> fields, int bytes, boolean flying, long position,
            List<String> purgedBy) {}

    /** How many answers are hit, of how many. */
    public record Hits(long hit, long of) {}

    private final Edge edge;
    private final RouteTable routes;
    private final Supplier<Stream<Entry>> memory;

    /** @param memory the answers in this process's memory */
    public Catalogue(Edge edge, List<Route> routes, Supplier<Stream<Entry>> memory) {
        this.edge = edge;
        this.routes = new RouteTable(routes);
        this.memory = memory;
    }

    /**
     * All variants of a URL, or of a path if no client's host is part of its key.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public Target url(String url) {
        return new Target("url:" + url, List.of(place(read(url)).name()));
    }

    /** Likewise, for whichever scheme: for callers that cannot tell. */
    public Target url(String host, String target) {
        List<Place> places = Stream.of("http", "https")
                .map(scheme -> place(read(scheme + "://" + host + target)))
                .toList();
        return new Target("url:" + (places.getFirst().hosted() ? host : "") + target,
                places.stream().map(Place::name).distinct().toList());
    }

    /**
     * All whose URL begins so, to the letter: {@code /shoes} begins {@code /shoes-for-men} too.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public Target prefix(String prefix) {
        Read read = read(prefix);
        require(read.query().isEmpty(), prefix, "must have no query: it is the beginning of a path");
        return new Target("prefix:" + prefix, read.authority()
                .map(authority -> Place.beginning(read.scheme(), authority, read.path()))
                .orElseGet(() -> List.of(Place.beginning(read.path()))));
    }

    /**
     * Likewise on this host, for whichever scheme; on any host where that is no part of the key.
     *
     * @param path the beginning of one
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public Target prefix(String host, String path) {
        return new Target("prefix:" + host + path, Stream.of("http", "https")
                .flatMap(scheme -> prefix(scheme + "://" + host + path).names().stream())
                .distinct()
                .toList());
    }

    /**
     * All the origin has given this tag.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public Target tag(String tag) {
        require(!tag.isBlank() && tag.equals(tag.strip()) && tag.length() <= Tags.LONGEST
                && tag.chars().noneMatch(Character::isISOControl), tag,
                "must be 1 to " + Tags.LONGEST + " characters, without blanks around it or control characters");
        return new Target("tag:" + tag, List.of(Place.tag(tag)));
    }

    /**
     * All the origin has given one of the tags that this line of a field names, as an answer's line would.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public List<Target> tags(String field, String line) {
        return Tags.parted(field, line).stream().map(this::tag).toList();
    }

    /**
     * All of one route.
     *
     * @throws IllegalArgumentException with a sentence that says what is wrong with it
     */
    public Target route(String id) {
        List<String> ids = routes.routes().stream().map(Route::id).toList();
        require(ids.contains(id), id, "is no route; there are " + String.join(", ", ids));
        return new Target("route:" + id, List.of(Place.route(id)));
    }

    /** Everything. */
    public Target all() {
        return new Target("all", List.of(Purges.EVERYTHING));
    }

    /** How many of the answers in this process's memory purges of these names would hit, and how many there are. */
    public Hits hits(List<String> names) {
        var of = new LongAdder();
        long hit = memory.get().flatMap(Catalogue::answer).filter(stored -> {
            of.increment();
            return placed(stored).filter(place -> hit(names, place.names(stored.tags()))).isPresent();
        }).count();
        return new Hits(hit, of.sum());
    }

    private static Stream<Stored> answer(Entry entry) {
        return switch (entry) {
            case Stored stored -> Stream.of(stored);
            case Ailing ailing -> Stream.of(ailing.stored());
            case Varies pointer -> Stream.empty();
            case HitForMiss marker -> Stream.empty();
            case Failure failure -> Stream.empty();
        };
    }

    private Optional<Place> placed(Stored stored) {
        return routes.routes().stream().flatMap(route -> Place.in(stored.key(), route).stream()).findFirst();
    }

    private static boolean hit(List<String> purged, List<String> names) {
        return purged.stream()
                .anyMatch(purge -> purge.equals(Purges.EVERYTHING) || names.contains(purge)
                        || (purge.startsWith(Purges.PREFIX)
                                && names.stream().anyMatch(name -> name.startsWith(purge))));
    }

    /**
     * What is stored for a GET of this URL with these fields.
     *
     * @param fields each as {@code Name: value}; those that select a variant, or are part of the key
     * @throws IllegalArgumentException with a sentence that says what is wrong with the URL or a field
     */
    public Mono<Found> look(String url, List<String> fields) {
        Read read = read(url);
        Route route = route(read);
        Asked asked = Asked.parse("GET", Fields.of(fields.stream().map(Catalogue::field).toList()));
        var from = new Forwarding.From("operator", read.scheme(), read.authority().orElse(""), "1.1");
        Request request = Request.of(route, asked, new RequestTarget(read.path(), read.query()), from, interim -> {},
                Tracing.Trace.NONE);
        Key resource = request.address().resource();
        return edge.coalescer()
                .find(resource, PATIENCE)
                .filter(entry -> entry.key().equals(request.address().text()))
                .flatMap(entry -> entry instanceof Varies pointer && !pointer.names().isEmpty()
                        ? variant(request, pointer)
                        : Mono.just(found(request, resource, List.of(), entry)))
                .defaultIfEmpty(absent(request, resource, List.of()));
    }

    private Mono<Found> variant(Request request, Varies pointer) {
        Fields selecting = Variant.selecting(pointer.names(), request.asked().fields(), request.route().policy());
        Key key = request.address().variant(selecting);
        return edge.coalescer()
                .find(key, PATIENCE)
                .filter(entry -> entry.key().equals(request.address().text()))
                .map(entry -> found(request, key, pointer.names(), entry))
                .defaultIfEmpty(absent(request, key, pointer.names()));
    }

    private Found absent(Request request, Key key, List<String> vary) {
        return new Found(request.address().place().url(), request.route().id(), key.text(), "absent", "", 0, vary,
                selected(request, vary), Optional.empty(), Optional.empty(), Optional.empty(), List.of(), List.of(), 0,
                edge.coalescer().flies(key), 0, List.of());
    }

    private Found found(Request request, Key key, List<String> vary, Entry entry) {
        Found nothing = absent(request, key, vary);
        List<String> purgedBy = request.address()
                .names(entry)
                .stream()
                .filter(name -> !(edge.purges().verdict(List.of(name), entry.position()) instanceof Verdict.Valid))
                .toList();
        Optional<Entry> valid = request.address().valid(entry, edge.purges(), edge.clock().instant());
        String purged = valid.isPresent() ? "" : "purged";
        return switch (valid.orElse(entry)) {
            case Stored stored -> told(nothing, stored, purged, "", purgedBy);
            case Ailing ailing -> told(nothing, ailing.stored(), purged, ailing.reason(), purgedBy);
            case HitForMiss marker -> with(nothing, purged.isEmpty() ? "hit-for-miss" : purged, marker.reason(), entry,
                    purgedBy);
            case Varies pointer -> with(nothing, purged.isEmpty() ? "pointer" : purged, "", entry, purgedBy);
            case Failure failure -> with(nothing, "absent", failure.reason(), entry, purgedBy);
        };
    }

    private static Found with(Found nothing, String state, String reason, Entry entry, List<String> purgedBy) {
        return new Found(nothing.url, nothing.route, nothing.key, state, reason, 0, nothing.vary, nothing.selected,
                Optional.empty(), Optional.empty(), Optional.empty(), List.of(), List.of(), 0, nothing.flying,
                entry.position(), purgedBy);
    }

    private Found told(Found nothing, Stored stored, String purged, String reason, List<String> purgedBy) {
        Instant now = edge.clock().instant();
        Terms terms = stored.terms();
        String state = purged.isEmpty() ? terms.fresh(now) ? "fresh" : "stale" : purged;
        List<String> fields = stored.head()
                .fields()
                .lines()
                .stream()
                .filter(field -> !secret(field.name()))
                .map(field -> field.name() + ": " + field.value())
                .toList();
        return new Found(nothing.url, nothing.route, nothing.key, state, reason, stored.head().status(), nothing.vary,
                nothing.selected, Optional.of(terms.age(now).toSeconds()), Optional.of(terms.ttl(now).toSeconds()),
                Optional.of(terms.at()), stored.tags(), fields, stored.body().length(), nothing.flying,
                stored.position(), purgedBy);
    }

    private static boolean secret(String field) {
        String name = field.toLowerCase(Locale.ROOT);
        return name.startsWith("set-cookie") || name.contains("auth") || name.contains("token")
                || name.contains("secret");
    }

    private static List<String> selected(Request request, List<String> vary) {
        var selected = new ArrayList<String>();
        for (Fields.Field field : Variant.selecting(vary, request.asked().fields(), request.route().policy())) {
            selected.add(field.name() + ": " + (field.value().equals(Variant.ABSENT) ? "" : field.value()));
        }
        return selected;
    }

    // ---- reading

    private record Read(String scheme, Optional<String> authority, String path, Optional<String> query) {}

    private static Read read(String url) {
        require(url.length() <= LONGEST, url.substring(0, Math.min(80, url.length())),
                "must be at most " + LONGEST + " characters");
        Matcher parts = URL.matcher(url);
        require(!url.isEmpty() && parts.matches() && (parts.group("authority") != null || parts.group("path") != null),
                url, "must be an absolute http or https URL or a path that begins with /, without user and fragment");
        String path = Optional.ofNullable(parts.group("path")).orElse("/");
        return new Read(Optional.ofNullable(parts.group("scheme")).orElse("http").toLowerCase(Locale.ROOT),
                Optional.ofNullable(parts.group("authority")), path, Optional.ofNullable(parts.group("query")));
    }

    private Place place(Read read) {
        return Place.of(route(read), read.scheme(), read.authority().orElse(""), read.path(), read.query());
    }

    private Route route(Read read) {
        Route route = switch (routes.match(new RequestTarget(read.path(), read.query()))) {
            case RouteTable.Match.Found(Route found) -> found;
            case RouteTable.Match.None none ->
                throw new IllegalArgumentException(read.path() + " matches the path of no route");
            case RouteTable.Match.Ambiguous ambiguous -> throw new IllegalArgumentException(
                    read.path() + " is ambiguous: no request with such dot segments or encoded slashes is served");
        };
        require(read.authority().isPresent() || !(route.host() instanceof Route.HostRule.OfClient), read.path(),
                "needs its scheme and host: they are part of the key on route " + route.id());
        return route;
    }

    private static Fields.Field field(String line) {
        int colon = line.indexOf(':');
        require(colon > 0, line, "must be the name of a field, a colon and its value");
        return new Fields.Field(line.substring(0, colon).strip(), line.substring(colon + 1).strip());
    }

    private static void require(boolean holds, String what, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(what + " " + otherwise);
        }
    }
}
