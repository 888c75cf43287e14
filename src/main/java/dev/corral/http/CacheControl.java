package dev.corral.http;

import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.greenbytes.http.sfv.BooleanItem;
import org.greenbytes.http.sfv.Dictionary;
import org.greenbytes.http.sfv.IntegerItem;
import org.greenbytes.http.sfv.ListElement;
import org.greenbytes.http.sfv.ParseException;
import org.greenbytes.http.sfv.Parser;

/**
 * Cache directives, parsed once (RFC 9111 section 5.2). Serves requests and responses; a directive that has no meaning there
 * is just not asked for. Immutable.
 *
 * <p>What is malformed never permits more: a lifetime that is no number is zero (section 4.2.1), of two that differ the
 * shorter counts, a directive with a list of field names ({@code no-cache="a"}, {@code private="a"}) counts whole, and where the
 * grammar is broken ({@code public; private}) only what forbids is heard.
 *
 * @param isPrivate {@code private}, also when limited to some fields
 * @param isPublic {@code public}
 * @param maxStale absent: none accepted; without a value: {@link #FOREVER}
 */
public record CacheControl(boolean noStore, boolean noCache, boolean isPrivate, boolean isPublic,
        boolean mustRevalidate, boolean proxyRevalidate, boolean mustUnderstand, boolean immutable,
        boolean onlyIfCached, Optional<Duration> maxAge, Optional<Duration> sharedMaxAge,
        Optional<Duration> staleWhileRevalidate, Optional<Duration> staleIfError, Optional<Duration> minFresh,
        Optional<Duration> maxStale) {

    /** The most a delta-seconds can say: 2^31 seconds (RFC 9111 section 1.2.2). */
    public static final Duration FOREVER = Duration.ofSeconds(1L << 31);

    /** What is heard even where the grammar is broken; the lifetimes are then none. */
    private static final Set<String> FORBIDDING = Set.of("no-store", "no-cache", "private", "must-revalidate",
            "proxy-revalidate", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error");

    /** No directive. */
    public static final CacheControl NONE = new Reading().directives();

    /** The directives of a message's {@code Cache-Control} lines. Never throws. */
    public static CacheControl of(Fields fields) {
        return fields.has("Cache-Control") ? parse(fields.all("Cache-Control")) : NONE;
    }

    /** The directives of these field lines, in their order. Never throws. */
    public static CacheControl parse(List<String> lines) {
        var reading = new Reading();
        for (String line : lines) {
            reading.read(line);
        }
        return reading.directives();
    }

    /**
     * The directives of a targeted field (RFC 9213 section 2.1), a structured dictionary. Empty when the field is absent,
     * empty or not well formed: then it counts as not there.
     */
    public static Optional<CacheControl> targeted(List<String> lines) {
        try {
            Dictionary dictionary = new Parser(lines).parseDictionary();
            if (dictionary.get().isEmpty()) {
                return Optional.empty();
            }
            var reading = new Reading();
            for (Map.Entry<String, ListElement<?>> member : dictionary.get().entrySet()) {
                reading.take(member.getKey(), member.getValue());
            }
            return Optional.of(reading.directives());
        } catch (ParseException malformed) {
            return Optional.empty();
        }
    }

    /** A non-negative whole number of seconds, saturated at {@link #FOREVER}; empty when it is none (section 1.2.2). */
    static Optional<Duration> deltaSeconds(String text) {
        if (text.isEmpty()) {
            return Optional.empty();
        }
        long seconds = 0;
        for (int i = 0; i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return Optional.empty();
            }
            seconds = Math.min(seconds * 10 + digit, FOREVER.toSeconds());
        }
        return Optional.of(Duration.ofSeconds(seconds));
    }

    /** The directives seen so far. */
    private static final class Reading {
        private boolean noStore;
        private boolean noCache;
        private boolean isPrivate;
        private boolean isPublic;
        private boolean mustRevalidate;
        private boolean proxyRevalidate;
        private boolean mustUnderstand;
        private boolean immutable;
        private boolean onlyIfCached;
        private Optional<Duration> maxAge = Optional.empty();
        private Optional<Duration> sharedMaxAge = Optional.empty();
        private Optional<Duration> staleWhileRevalidate = Optional.empty();
        private Optional<Duration> staleIfError = Optional.empty();
        private Optional<Duration> minFresh = Optional.empty();
        private Optional<Duration> maxStale = Optional.empty();

        CacheControl directives() {
            return new CacheControl(noStore, noCache, isPrivate, isPublic, mustRevalidate, proxyRevalidate,
                    mustUnderstand, immutable, onlyIfCached, maxAge, sharedMaxAge, staleWhileRevalidate, staleIfError,
                    minFresh, maxStale);
        }

        void read(String line) {
            for (Iterator<Element> elements = new Elements(line); elements.hasNext();) {
                Element element = elements.next();
                String name = element.name().toLowerCase(Locale.ROOT);
                if (!element.broken() || FORBIDDING.contains(name)) {
                    take(name, element.value(), element.value().flatMap(CacheControl::deltaSeconds));
                }
            }
        }

        void take(String name, ListElement<?> value) {
            if (value instanceof BooleanItem flag) {
                if (flag.get()) {
                    take(name, Optional.empty(), Optional.empty());
                }
            } else if (value instanceof IntegerItem number && number.getAsLong() >= 0) {
                long seconds = Math.min(number.getAsLong(), FOREVER.toSeconds());
                take(name, Optional.of(""), Optional.of(Duration.ofSeconds(seconds)));
            } else {
                take(name, Optional.of(""), Optional.empty());
            }
        }

        private void take(String name, Optional<String> value, Optional<Duration> seconds) {
            switch (name) {
                case "no-store" -> noStore = true;
                case "no-cache" -> noCache = true;
                case "private" -> isPrivate = true;
                case "public" -> isPublic = true;
                case "must-revalidate" -> mustRevalidate = true;
                case "proxy-revalidate" -> proxyRevalidate = true;
                case "must-understand" -> mustUnderstand = true;
                case "immutable" -> immutable = true;
                case "only-if-cached" -> onlyIfCached = true;
                case "max-age" -> maxAge = least(maxAge, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "s-maxage" -> sharedMaxAge = least(sharedMaxAge, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "stale-while-revalidate" ->
                    staleWhileRevalidate = least(staleWhileRevalidate, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "stale-if-error" ->
                    staleIfError = least(staleIfError, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "min-fresh" -> minFresh = greatest(minFresh, seconds);
                case "max-stale" -> maxStale = least(maxStale, value.isEmpty() ? Optional.of(FOREVER) : seconds);
                default -> {
                    // An unknown directive says nothing to us (section 5.2.3).
                }
            }
        }

        private static Optional<Duration> least(Optional<Duration> one, Optional<Duration> other) {
            return other.isEmpty() || (one.isPresent() && one.get().compareTo(other.get()) < 0)
                    ? one
                    : other;
        }

        private static Optional<Duration> greatest(Optional<Duration> one, Optional<Duration> other) {
            return other.isEmpty() || (one.isPresent() && one.get().compareTo(other.get()) > 0)
                    ? one
                    : other;
        }
    }

    /**
     * One directive as written.
     *
     * @param value without its quotes; {@code ""} when it is malformed
     * @param broken it stands where the grammar allows none, or something follows that it does not allow
     */
    private record Element(String name, Optional<String> value, boolean broken) {}

    /**
     * The directives of one line: {@code token [ "=" ( token / quoted-string ) ]}. After a syntax error every word up to the next
     * comma is one, quotes or not, so that nothing can hide a {@code no-store}.
     */
    private static final class Elements implements Iterator<Element> {
        private final String line;
        private int at;
        private boolean broken;

        Elements(String line) {
            this.line = line;
            skipSeparators();
        }

        @Override
        public boolean hasNext() {
            return at < line.length();
        }

        @Override
        public Element next() {
            String name = token();
            Optional<String> value = Optional.empty();
            if (at < line.length() && line.charAt(at) == '=') {
                at++;
                value = Optional.of(value());
            }
            skipBlank();
            broken |= at < line.length() && line.charAt(at) != ',';
            var element = new Element(name, broken ? Optional.of("") : value, broken);
            if (broken) {
                skipToWordOrComma();
            }
            skipSeparators();
            return element;
        }

        private void skipToWordOrComma() {
            while (at < line.length() && line.charAt(at) != ',' && !Syntax.isTokenCharacter(line.charAt(at))) {
                at++;
            }
        }

        private String token() {
            int start = at;
            while (at < line.length() && Syntax.isTokenCharacter(line.charAt(at))) {
                at++;
            }
            return line.substring(start, at);
        }

        private String value() {
            if (at >= line.length() || line.charAt(at) != '"') {
                return token();
            }
            int end = Syntax.endOfQuoted(line, at);
            if (end < 0) {
                return "";
            }
            String quoted = Syntax.unquote(line, at, end);
            at = end;
            return quoted;
        }

        private void skipBlank() {
            while (at < line.length() && Syntax.isBlank(line.charAt(at))) {
                at++;
            }
        }

        private void skipSeparators() {
            while (at < line.length() && (line.charAt(at) == ',' || Syntax.isBlank(line.charAt(at)))) {
                broken &= line.charAt(at) != ',';
                at++;
            }
        }
    }
}
