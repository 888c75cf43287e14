package dev.corral.dev;

import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The responses of the demo shop by the first segments of the path. Thread-safe. */
final class DemoShopCatalog {

    private static final String FRESH = "max-age=60";
    private static final Pattern SLOW = Pattern.compile("/slow/(\\d{1,6})(/.*)");
    private static final Pattern BIG = Pattern.compile("/big/(\\d{1,12})");
    private static final Map<String, String> GREETINGS = Map.of("en", "Welcome to the shop", "de",
            "Willkommen im Laden", "fr", "Bienvenue au magasin");
    private static final String[] ANIMALS = {"Cow", "Goat", "Horse", "Llama", "Mule", "Ox", "Sheep", "Yak"};
    private static final String[] THINGS = {"bell", "blanket", "brush", "fence", "gate", "halter", "saddle", "trough"};

    private final Duration latency;
    private final AtomicLong serial = new AtomicLong();

    DemoShopCatalog(Duration latency) {
        this.latency = latency;
    }

    StubResponse responseTo(StubRequest request) {
        StubResponse response = offer(request, request.path()).withField("X-Shop-Request",
                Long.toString(request.number()));
        return applyIfNoneMatch(request, response);
    }

    private StubResponse offer(StubRequest request, String path) {
        Matcher slow = SLOW.matcher(path);
        if (slow.matches()) {
            return offer(request, slow.group(2)).delayedBy(Duration.ofMillis(Long.parseLong(slow.group(1))));
        }
        return offerByMethod(request, path).delayedBy(latency);
    }

    private StubResponse offerByMethod(StubRequest request, String path) {
        return switch (request.method()) {
            case "GET", "HEAD" -> offerByPath(request, path);
            default ->
                text(200, request.method() + " of " + request.bodyBytes() + " bytes", "Cache-Control", "no-store");
        };
    }

    private StubResponse offerByPath(StubRequest request, String path) {
        return switch (firstSegment(path)) {
            case "" -> text(200, index(), "Cache-Control", FRESH);
            case "products" -> product(path);
            case "private" -> text(200, unique(), "Cache-Control", "private");
            case "session" -> text(200, unique(), "Cache-Control", FRESH, "Set-Cookie", "session=" + nextSerial());
            case "vary" -> greeting(request);
            case "flaky" -> flaky(request);
            case "big" -> big(path);
            default -> text(404, "The shop has no " + path + "\n");
        };
    }

    /** The same bytes for each request with one ID, so that the ETag is valid. */
    private static StubResponse product(String path) {
        String id = path.replaceFirst("^/products/?", "");
        int seed = Math.floorMod(id.hashCode(), 64);
        String name = ANIMALS[seed % 8] + " " + THINGS[seed / 8];
        String body = """
                {
                  "id": "%s",
                  "name": "%s",
                  "price": "%d.90",
                  "description": "%s"
                }
                """.formatted(id.replace("\\", "\\\\").replace("\"", "\\\""), name, 10 + seed,
                ("A " + name.toLowerCase(Locale.ROOT) + " for the whole herd. ").repeat(28).strip());
        return StubResponse.of(200, body, "Content-Type", "application/json", "Cache-Control", FRESH, "ETag",
                "\"" + Integer.toHexString(body.hashCode()) + "\"");
    }

    private static StubResponse greeting(StubRequest request) {
        String language = request.fields().firstValue("Accept-Language").orElse("en");
        String primary = language.length() < 2 ? "en" : language.substring(0, 2).toLowerCase(Locale.ROOT);
        String known = GREETINGS.containsKey(primary) ? primary : "en";
        return text(200, Optional.ofNullable(GREETINGS.get(known)).orElseThrow() + "\n", "Cache-Control", FRESH, "Vary",
                "Accept-Language", "Content-Language", known);
    }

    private static StubResponse flaky(StubRequest request) {
        return request.number() == 1
                ? text(500, "The first request of this key fails\n")
                : text(200, "Request " + request.number() + " of this key succeeds\n", "Cache-Control", FRESH);
    }

    private static StubResponse big(String path) {
        Matcher size = BIG.matcher(path);
        return size.matches()
                ? StubResponse.ofSize(Long.parseLong(size.group(1)), "Content-Type", "application/octet-stream",
                        "Cache-Control", FRESH)
                : text(404, "Say how many bytes: /big/1000000\n");
    }

    /** RFC 9110 section 13.1.2: a GET or HEAD whose If-None-Match names the current ETag gets a 304. */
    private static StubResponse applyIfNoneMatch(StubRequest request, StubResponse response) {
        Optional<String> etag = response.fields().firstValue("ETag");
        Optional<String> known = request.fields().combinedValue("If-None-Match");
        if (etag.isEmpty() || known.filter(list -> list.equals("*") || list.contains(etag.get())).isEmpty()) {
            return response;
        }
        StubResponse unchanged = StubResponse.of(304, "").delayedBy(response.latency());
        return new StubResponse(304, response.fields().without("Content-Type"), unchanged.body(), unchanged.length(),
                response.latency());
    }

    private String unique() {
        return "This body exists once: " + nextSerial() + "\n";
    }

    private String nextSerial() {
        return Long.toString(serial.incrementAndGet(), 36) + "-" + Long.toString(System.nanoTime(), 36);
    }

    private static StubResponse text(int status, String text, String... namesAndValues) {
        return StubResponse.of(status, text, namesAndValues).withField("Content-Type", "text/plain;charset=utf-8");
    }

    private static String firstSegment(String path) {
        int end = path.indexOf('/', 1);
        return path.substring(1, end < 0 ? path.length() : end);
    }

    private String index() {
        return """
                The demo shop. Each answer takes %d ms.
                  /products/{id}   the same for everybody, fresh for a minute, with an ETag
                  /private/{..}    for one client only: never shared
                  /session/{..}    sets a cookie
                  /vary/{..}       in your Accept-Language (en, de, fr)
                  /flaky/{..}      500 the first time
                  /slow/{ms}/{..}  any of these, after that time
                  /big/{bytes}     that much
                  /count, /reset   of the shop's own port: requests so far, in JSON; start again
                """.formatted(latency.toMillis());
    }
}
