package dev.corral.http;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.zip.CRC32C;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.PropertyDefaults;
import net.jqwik.api.Provide;

import static org.assertj.core.api.Assertions.assertThat;

/** No soup of fields, however odd, breaks the promises. */
@PropertyDefaults(edgeCases = EdgeCasesMode.NONE)
class HeaderSoupTest {

    private static final Policy ALL = Policy.builder()
            .surrogateControl(true)
            .earlyRefreshBeta(1.0)
            .staleIfError(Duration.ofDays(1))
            .staleWhileRevalidate(Duration.ofDays(1))
            .build();

    /** Without the fields that may overrule what Cache-Control forbids. */
    private static final Policy CACHE_CONTROL_ONLY = Policy.builder().targetedFields(List.of()).build();

    private static final Forwarding.From FROM = new Forwarding.From("2001:db8::1", "https", "shop.example", "2");

    @Provide
    Arbitrary<Fields> soup() {
        return fields("Cache-Control", "CDN-Cache-Control", "Surrogate-Control", "Expires", "Date", "Age",
                "Last-Modified", "ETag", "Vary", "Set-Cookie", "Cache-Tag", "Surrogate-Key", "Connection", "Location",
                "Content-Location", "Content-Type", "Content-Length", "cache-control", "X-A", "");
    }

    @Provide
    Arbitrary<Fields> request() {
        return fields("Cache-Control", "Pragma", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Cookie",
                "Authorization", "Accept-Encoding", "Accept-Language", "X-A", "Connection", "Forwarded",
                "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Content-Length", "Via");
    }

    /** Soup in which nothing may permit what is forbidden elsewhere: no must-understand. */
    @Provide
    Arbitrary<Fields> plainSoup() {
        return soup().filter(fields -> fields.lines()
                .stream()
                .noneMatch(line -> line.value().toLowerCase(Locale.ROOT).contains("must-understand")));
    }

    private static Arbitrary<Fields> fields(String... names) {
        Arbitrary<String> word = Arbitraries.of("max-age", "s-maxage", "private", "no-store", "no-cache", "public",
                "must-revalidate", "must-understand", "immutable", "stale-if-error", "max-stale", "min-fresh",
                "only-if-cached", "=", ",", ";", "\"", "'", "\\", " ", "\t", "*", "-", "0", "1", "60", "-5", "1.5",
                "99999999999999999999", "W/\"a\"", "\"a\"", "bytes=", "0-1", "-1", "1-", "Accept-Encoding", "X-A",
                "gzip;q=0.5", "br", "q=", "Mon, 23 Nov 2026 12:00:00 GMT", "Monday, 23-Nov-26 12:00:00 GMT",
                "Mon Nov 23 12:00:00 2026", "Thu, 31 Feb 2050 25:61:61 GMT", "/other", "http://shop.example/x", "%zz",
                "[", "for=", "host=");
        Arbitrary<String> value = Arbitraries.oneOf(word.list().ofMaxSize(8).map(words -> String.join("", words)),
                Arbitraries.strings().withCharRange('\0', '\u00ff').ofMaxLength(20),
                Arbitraries.strings().ofMaxLength(6));
        Arbitrary<Fields.Field> line = Combinators.combine(Arbitraries.of(names), value).as(Fields.Field::new);
        return line.list().ofMaxSize(8).map(Fields::of);
    }

    @Provide
    Arbitrary<Instant> time() {
        return Arbitraries.oneOf(
                Arbitraries.integers().between(-100_000, 100_000).map(Given::in),
                Arbitraries.of(Instant.EPOCH, Instant.parse("9999-12-31T23:59:59Z"), Instant.ofEpochSecond(-100, 7)));
    }

    @Property(tries = 3_000)
    void nothingThrows(@ForAll("request") Fields request, @ForAll("soup") Fields answer, @ForAll("time") Instant then,
            @ForAll("time") Instant now, @ForAll int status) {
        Asked asked = Asked.parse("GET", request);
        var head = new Head(Math.floorMod(status, 1000), answer);
        Body body = Body.of(new byte[37]);

        if (Storing.decide(asked, head, ALL, then, now) instanceof Storing.Share share) {
            Stored stored = Stored.of(Given.KEY, asked, share, ALL, 1, body);
            Reply.of(asked, stored, now, ALL);
            Reuse.decide(asked, stored, ALL, now, 0.01);
            Reuse.sharedWhileWaiting(asked, stored, ALL, then, now);
            Validation.conditions(stored);
            Validation.freshen(stored, new Head(304, answer), asked, ALL, then, now, 2);
            assertThat(Variant.matches(stored, asked, ALL)).isTrue();
            assertThat(EntryFormat.decode(EntryFormat.encode(stored))).contains(stored);
        }
        Reply.of(asked, head, body, now, ALL);
        Storing.decidePost(Asked.parse("POST", request), Given.KEY, head, ALL, then, now);
        Invalidation.targets("POST", Given.KEY, head);
        for (boolean trusted : List.of(true, false)) {
            var rules = new Forwarding.Rules("corral", trusted, trusted, RequestHeaderPolicy.DEFAULT);
            Forwarding.From seen = Forwarding.seen(request, FROM, rules);
            Forwarding.toOrigin(request, seen, rules);
            Forwarding.toOriginShared(request, seen, rules, List.of("x-a"));
        }
        Tags.of(head, ALL);
    }

    @Property(tries = 3_000)
    void whatIsForbiddenIsNeverShared(@ForAll("request") Fields request, @ForAll("plainSoup") Fields answer,
            @ForAll("forbidding") Fields.Field forbidding, @ForAll int where, @ForAll int status) {
        List<Fields.Field> lines = new ArrayList<>(answer.lines());
        lines.add(Math.floorMod(where, lines.size() + 1), forbidding);
        var head = new Head(200 + Math.floorMod(status, 400), Fields.of(lines));

        Storing storing = Storing.decide(Asked.parse("GET", request), head, CACHE_CONTROL_ONLY, Given.NOW, Given.NOW);

        assertThat(storing).isNotInstanceOf(Storing.Share.class);
        if (storing instanceof Storing.Fail fail) {
            assertThat(fail.shareable()).isFalse();
        }
    }

    @Provide
    Arbitrary<Fields.Field> forbidding() {
        Arbitrary<String> around = Arbitraries.of("", "max-age=60", "public", "s-maxage=60", "ext=\"a, b\"", "x=1, y");
        Arbitrary<String> word = Arbitraries.of("private", "no-store", "private=\"x-a\"", "PRIVATE", "No-Store",
                "private =", "no-store=1", "private;");
        Arbitrary<Fields.Field> directive = Combinators.combine(around, word, around)
                .as((before, it, after) -> new Fields.Field("Cache-Control", before + " ,\t" + it + "," + after));
        return Arbitraries.oneOf(directive,
                Arbitraries.of(new Fields.Field("set-cookie", ""), new Fields.Field("SET-COOKIE", "session=1"),
                        new Fields.Field("Vary", "*"), new Fields.Field("vary", "Accept ,*")));
    }

    @Property(tries = 2_000)
    void anAnswerToAuthorizationNeedsTheOriginsWord(@ForAll("soup") Fields answer) {
        Fields silent = answer.without(name -> name.toLowerCase(Locale.ROOT).endsWith("control"));

        Storing storing = Given.storing(Given.get("Authorization: Basic Zm9v"), new Head(200,
                silent.plus("Cache-Control", "max-age=60")), Policy.DEFAULT);

        assertThat(storing).isInstanceOf(Storing.Withhold.class);
    }

    @Property(tries = 2_000)
    void noAgeIsNegativeAndNoneShrinks(@ForAll("soup") Fields answer, @ForAll("time") Instant requested,
            @ForAll("time") Instant received, @ForAll("time") Instant now) {
        if (Storing.decide(Given.get(""), new Head(200, answer), ALL, requested,
                received) instanceof Storing.Share share) {
            Terms terms = share.terms();

            assertThat(terms.age(now)).isGreaterThanOrEqualTo(Duration.ZERO);
            assertThat(terms.age(now.plusSeconds(1))).isGreaterThanOrEqualTo(terms.age(now));
            assertThat(terms.life()).isBetween(Duration.ofSeconds(3), ALL.maxLife());
            assertThat(terms.staleFrom(now).ttl(now)).isLessThanOrEqualTo(Duration.ZERO);
        }
    }

    @Property(tries = 2_000)
    void everyEntryComesBackAsItWas(@ForAll("soup") Fields fields, @ForAll String key, @ForAll long position,
            @ForAll byte[] bytes) {
        Terms terms = Given.terms("Cache-Control: max-age=60, stale-while-revalidate=5");
        var head = new Head(299, fields);
        Body body = Body.of(bytes);
        List<Entry> entries = List.of(
                new Stored(key, head, fields, terms, position, List.of(key, "a"), body),
                new Varies(key, List.of("a", key), position), new HitForMiss(key, "private", position),
                new Failure(key, "unreachable", 502, Optional.empty(), Optional.of(Duration.ofMillis(1_500)), position),
                new Failure(key, "server-error", 503, Optional.of(new Failure.Answer(head, fields, body)),
                        Optional.empty(), position));

        for (Entry entry : entries) {
            assertThat(EntryFormat.decode(EntryFormat.encode(entry))).contains(entry);
            Entry traced = entry.traced("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            assertThat(EntryFormat.decode(EntryFormat.encode(traced))).contains(traced);
        }
    }

    @Property(tries = 1_000)
    void damagedBytesAreNoEntry(@ForAll("soup") Fields fields, @ForAll int where, @ForAll byte flip) {
        byte[] bytes = EntryFormat.encode(new Stored(Given.KEY, new Head(200, fields), fields,
                Given.terms("Cache-Control: max-age=60"), 3, List.of(), Body.EMPTY));
        int at = Math.floorMod(where, bytes.length);

        assertThat(EntryFormat.decode(Arrays.copyOf(bytes, at))).isEmpty();
        bytes[at] ^= flip == 0 ? 1 : flip;
        assertThat(EntryFormat.decode(bytes)).isEmpty();
    }

    @Property(tries = 1_000)
    void noBytesMakeTheReaderThrow(@ForAll byte[] bytes) {
        assertThat(EntryFormat.decode(bytes)).isEmpty();
        assertThat(EntryFormat.decode(sealed(bytes))).satisfiesAnyOf(entry -> assertThat(entry).isEmpty(),
                entry -> assertThat(EntryFormat.decode(EntryFormat.encode(entry.orElseThrow()))).isEqualTo(entry));
    }

    /** With a version, a key, a kind and a checksum that fit, as from a writer gone wrong. */
    private static byte[] sealed(byte[] bytes) {
        byte kind = (byte) (1 + Math.floorMod(bytes.length, 5));
        byte[] start = {EntryWriter.VERSION, EntryWriter.KEY << 3 | 2, 1, 'k', EntryWriter.KIND << 3, kind,
                EntryWriter.STATUS << 3, 42, EntryWriter.TERMS << 3 | 2, 2, EntryWriter.RESPONSE_TIME << 3 | 2, 0};
        var buffer = ByteBuffer.allocate(start.length + bytes.length + 4).put(start).put(bytes);
        var checksum = new CRC32C();
        checksum.update(buffer.array(), 0, buffer.position());
        return buffer.putInt((int) checksum.getValue()).array();
    }
}
