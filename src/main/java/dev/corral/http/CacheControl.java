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
 * @param maxStale absent: none accepted; without a value: {@link #MAX_DELTA_SECONDS}
 */
public record CacheControl(boolean noStore, boolean noCache, boolean isPrivate, boolean isPublic,
        boolean mustRevalidate, boolean proxyRevalidate, boolean mustUnderstand, boolean immutable,
        boolean onlyIfCached, Optional<Duration> maxAge, Optional<Duration> sharedMaxAge,
        Optional<Duration> staleWhileRevalidate, Optional<Duration> staleIfError, Optional<Duration> minFresh,
        Optional<Duration> maxStale) {

    /** The most a delta-seconds can say: 2^31 seconds (RFC 9111 section 1.2.2). */
    public static final Duration MAX_DELTA_SECONDS = Duration.ofSeconds(1L << 31);

    /** What is heard even where the grammar is broken; the lifetimes are then none. */
    private static final Set<String> RESTRICTIVE_DIRECTIVES = Set.of("no-store", "no-cache", "private",
            "must-revalidate",
            "proxy-revalidate", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error");

    /** No directive. */
    public static final CacheControl NONE = new DirectiveCollector().toCacheControl();

    /** The directives of a message's {@code Cache-Control} lines. Never throws. */
    public static CacheControl of(HeaderFields fields) {
        return fields.has("Cache-Control") ? parse(fields.values("Cache-Control")) : NONE;
    }

    /** The directives of these field lines, in their order. Never throws. */
    public static CacheControl parse(List<String> lines) {
        var reading = new DirectiveCollector();
        for (String line : lines) {
            reading.addLine(line);
        }
        return reading.toCacheControl();
    }

    /**
     * The directives of a targeted field (RFC 9213 section 2.1), a structured dictionary. Empty when the field is absent,
     * empty or not well formed: then it counts as not there.
     */
    public static Optional<CacheControl> parseTargeted(List<String> lines) {
        try {
            Dictionary dictionary = new Parser(lines).parseDictionary();
            if (dictionary.get().isEmpty()) {
                return Optional.empty();
            }
            var reading = new DirectiveCollector();
            for (Map.Entry<String, ListElement<?>> member : dictionary.get().entrySet()) {
                reading.addStructured(member.getKey(), member.getValue());
            }
            return Optional.of(reading.toCacheControl());
        } catch (ParseException malformed) {
            return Optional.empty();
        }
    }

    /** A non-negative whole number of seconds, saturated at {@link #MAX_DELTA_SECONDS}; empty when it is none (section 1.2.2). */
    public static Optional<Duration> parseDeltaSeconds(String text) {
        if (text.isEmpty()) {
            return Optional.empty();
        }
        long seconds = 0;
        for (int i = 0; i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return Optional.empty();
            }
            seconds = Math.min(seconds * 10 + digit, MAX_DELTA_SECONDS.toSeconds());
        }
        return Optional.of(Duration.ofSeconds(seconds));
    }

    /** The directives seen so far. */
    private static final class DirectiveCollector {
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

        CacheControl toCacheControl() {
            return new CacheControl(noStore, noCache, isPrivate, isPublic, mustRevalidate, proxyRevalidate,
                    mustUnderstand, immutable, onlyIfCached, maxAge, sharedMaxAge, staleWhileRevalidate, staleIfError,
                    minFresh, maxStale);
        }

        void addLine(String line) {
            for (Iterator<Directive> elements = new DirectiveParser(line); elements.hasNext();) {
                Directive element = elements.next();
                String name = element.name().toLowerCase(Locale.ROOT);
                if (!element.malformed() || RESTRICTIVE_DIRECTIVES.contains(name)) {
                    add(name, element.value(), element.value().flatMap(CacheControl::parseDeltaSeconds));
                }
            }
        }

        void addStructured(String name, ListElement<?> value) {
            if (value instanceof BooleanItem flag) {
                if (flag.get()) {
                    add(name, Optional.empty(), Optional.empty());
                }
            } else if (value instanceof IntegerItem number && number.getAsLong() >= 0) {
                long seconds = Math.min(number.getAsLong(), MAX_DELTA_SECONDS.toSeconds());
                add(name, Optional.of(""), Optional.of(Duration.ofSeconds(seconds)));
            } else {
                add(name, Optional.of(""), Optional.empty());
            }
        }

        private void add(String name, Optional<String> value, Optional<Duration> seconds) {
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
                case "max-age" -> maxAge = minPresent(maxAge, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "s-maxage" ->
                    sharedMaxAge = minPresent(sharedMaxAge, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "stale-while-revalidate" ->
                    staleWhileRevalidate = minPresent(staleWhileRevalidate,
                            seconds.or(() -> Optional.of(Duration.ZERO)));
                case "stale-if-error" ->
                    staleIfError = minPresent(staleIfError, seconds.or(() -> Optional.of(Duration.ZERO)));
                case "min-fresh" -> minFresh = maxPresent(minFresh, seconds);
                case "max-stale" ->
                    maxStale = minPresent(maxStale, value.isEmpty() ? Optional.of(MAX_DELTA_SECONDS) : seconds);
                default -> {
                    // An unknown directive says nothing to us (section 5.2.3).
                }
            }
        }

        private static Optional<Duration> minPresent(Optional<Duration> one, Optional<Duration> other) {
            return other.isEmpty() || (one.isPresent() && one.get().compareTo(other.get()) < 0)
                    ? one
                    : other;
        }

        private static Optional<Duration> maxPresent(Optional<Duration> one, Optional<Duration> other) {
            return other.isEmpty() || (one.isPresent() && one.get().compareTo(other.get()) > 0)
                    ? one
                    : other;
        }
    }

    /**
     * One directive as written.
     *
     * @param value without its quotes; {@code ""} when it is malformed
     * @param malformed it stands where the grammar allows none, or something follows that it does not allow
     */
    private record Directive(String name, Optional<String> value, boolean malformed) {}

    /**
     * The directives of one line: {@code token [ "=" ( token / quoted-string ) ]}. After a syntax error every word up to the next
     * comma is one, quotes or not, so that nothing can hide a {@code no-store}.
     */
    private static final class DirectiveParser implements Iterator<Directive> {
        private final String line;
        private int position;
        private boolean malformed;

        DirectiveParser(String line) {
            this.line = line;
            skipSeparators();
        }

        @Override
        public boolean hasNext() {
            return position < line.length();
        }

        @Override
        public Directive next() {
            String name = readToken();
            Optional<String> value = Optional.empty();
            if (position < line.length() && line.charAt(position) == '=') {
                position++;
                value = Optional.of(readValue());
            }
            skipWhitespace();
            malformed |= position < line.length() && line.charAt(position) != ',';
            var element = new Directive(name, malformed ? Optional.of("") : value, malformed);
            if (malformed) {
                skipToTokenOrComma();
            }
            skipSeparators();
            return element;
        }

        private void skipToTokenOrComma() {
            while (position < line.length() && line.charAt(position) != ','
                    && !FieldSyntax.isTokenCharacter(line.charAt(position))) {
                position++;
            }
        }

        private String readToken() {
            int start = position;
            while (position < line.length() && FieldSyntax.isTokenCharacter(line.charAt(position))) {
                position++;
            }
            return line.substring(start, position);
        }

        private String readValue() {
            if (position >= line.length() || line.charAt(position) != '"') {
                return readToken();
            }
            int end = FieldSyntax.endOfQuotedString(line, position);
            if (end < 0) {
                return "";
            }
            String quoted = FieldSyntax.unquote(line, position, end);
            position = end;
            return quoted;
        }

        private void skipWhitespace() {
            while (position < line.length() && FieldSyntax.isWhitespace(line.charAt(position))) {
                position++;
            }
        }

        private void skipSeparators() {
            while (position < line.length()
                    && (line.charAt(position) == ',' || FieldSyntax.isWhitespace(line.charAt(position)))) {
                malformed &= line.charAt(position) != ',';
                position++;
            }
        }
    }
}
