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
 * Cache directives, parsed once (RFC 9111 section 5.2). One type for requests and responses: callers ignore the directives that
 * have no meaning in their message. Immutable.
 *
 * <p>A malformed directive never permits more than a well-formed one:
 * <ul>
 * <li>a lifetime that is not a number is zero (section 4.2.1);
 * <li>of two different lifetimes the shorter one applies;
 * <li>a directive that is limited to some fields ({@code no-cache="a"}, {@code private="a"}) applies to the whole response;
 * <li>after a syntax error ({@code public; private}) only restrictive directives apply.
 * </ul>
 *
 * @param isPrivate {@code private}, also when limited to some fields
 * @param isPublic {@code public}
 * @param maxStale empty if the client accepts no stale response; {@link #MAX_DELTA_SECONDS} if the directive has no value
 */
public record CacheControl(boolean noStore, boolean noCache, boolean isPrivate, boolean isPublic,
        boolean mustRevalidate, boolean proxyRevalidate, boolean mustUnderstand, boolean immutable,
        boolean onlyIfCached, Optional<Duration> maxAge, Optional<Duration> sharedMaxAge,
        Optional<Duration> staleWhileRevalidate, Optional<Duration> staleIfError, Optional<Duration> minFresh,
        Optional<Duration> maxStale) {

    /** The largest delta-seconds value: 2^31 seconds (RFC 9111 section 1.2.2). */
    public static final Duration MAX_DELTA_SECONDS = Duration.ofSeconds(1L << 31);

    /** Directives that apply even after a syntax error; their lifetimes are then zero. */
    private static final Set<String> RESTRICTIVE_DIRECTIVES = Set.of("no-store", "no-cache", "private",
            "must-revalidate",
            "proxy-revalidate", "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error");

    /** No directives. */
    public static final CacheControl NONE = new DirectiveCollector().toCacheControl();

    /** The directives of a message's {@code Cache-Control} lines. Never throws. */
    public static CacheControl of(HeaderFields fields) {
        return fields.has("Cache-Control") ? parse(fields.values("Cache-Control")) : NONE;
    }

    /** The directives of these field lines, in their order. Never throws. */
    public static CacheControl parse(List<String> lines) {
        var collector = new DirectiveCollector();
        for (String line : lines) {
            collector.addLine(line);
        }
        return collector.toCacheControl();
    }

    /**
     * The directives of a targeted field (RFC 9213 section 2.1), which is a structured dictionary. Empty if the field is absent,
     * empty or malformed: it is then ignored.
     */
    public static Optional<CacheControl> parseTargeted(List<String> lines) {
        try {
            Dictionary dictionary = new Parser(lines).parseDictionary();
            if (dictionary.get().isEmpty()) {
                return Optional.empty();
            }
            var collector = new DirectiveCollector();
            for (Map.Entry<String, ListElement<?>> member : dictionary.get().entrySet()) {
                collector.addStructured(member.getKey(), member.getValue());
            }
            return Optional.of(collector.toCacheControl());
        } catch (ParseException ignored) {
            return Optional.empty();
        }
    }

    /** A non-negative integer of seconds, saturated at {@link #MAX_DELTA_SECONDS}; empty if the text is malformed (section 1.2.2). */
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

    /** Collects directives one by one. */
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
            for (Iterator<Directive> directives = new DirectiveParser(line); directives.hasNext();) {
                Directive directive = directives.next();
                String name = directive.name().toLowerCase(Locale.ROOT);
                if (!directive.malformed() || RESTRICTIVE_DIRECTIVES.contains(name)) {
                    add(name, directive.value(), directive.value().flatMap(CacheControl::parseDeltaSeconds));
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
                    // Unknown directives are ignored (section 5.2.3).
                }
            }
        }

        private static Optional<Duration> minPresent(Optional<Duration> first, Optional<Duration> second) {
            return second.isEmpty() || (first.isPresent() && first.get().compareTo(second.get()) < 0)
                    ? first
                    : second;
        }

        private static Optional<Duration> maxPresent(Optional<Duration> first, Optional<Duration> second) {
            return second.isEmpty() || (first.isPresent() && first.get().compareTo(second.get()) > 0)
                    ? first
                    : second;
        }
    }

    /**
     * One directive as received.
     *
     * @param value without quotes; {@code ""} if the directive is malformed
     * @param malformed the directive stands where the grammar allows none, or is followed by a character that it does not allow
     */
    private record Directive(String name, Optional<String> value, boolean malformed) {}

    /**
     * Iterates over the directives of one line: {@code token [ "=" ( token / quoted-string ) ]}. After a syntax error every token
     * up to the next comma is a directive, inside quotes as well, so that a syntax error cannot hide {@code no-store}.
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
            var directive = new Directive(name, malformed ? Optional.of("") : value, malformed);
            if (malformed) {
                skipToTokenOrComma();
            }
            skipSeparators();
            return directive;
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
