package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.http.ResponseHead;
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
class RandomHeaderFieldsTest {

    private static final CachePolicy ALL_OPTIONS_POLICY = CachePolicy.builder()
            .surrogateControl(true)
            .earlyRefreshBeta(1.0)
            .staleIfError(Duration.ofDays(1))
            .staleWhileRevalidate(Duration.ofDays(1))
            .build();

    /** Without the fields that may overrule what Cache-Control forbids. */
    private static final CachePolicy CACHE_CONTROL_ONLY = CachePolicy.builder().targetedFields(List.of()).build();

    private static final Forwarding.ClientConnection CLIENT_CONNECTION = new Forwarding.ClientConnection("2001:db8::1",
            "https", "shop.example", "2");

    @Provide
    Arbitrary<HeaderFields> soup() {
        return fields("Cache-Control", "CDN-Cache-Control", "Surrogate-Control", "Expires", "Date", "Age",
                "Last-Modified", "ETag", "Vary", "Set-Cookie", "Cache-Tag", "Surrogate-Key", "Connection", "Location",
                "Content-Location", "Content-Type", "Content-Length", "cache-control", "X-A", "");
    }

    @Provide
    Arbitrary<HeaderFields> request() {
        return fields("Cache-Control", "Pragma", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Cookie",
                "Authorization", "Accept-Encoding", "Accept-Language", "X-A", "Connection", "Forwarded",
                "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Content-Length", "Via");
    }

    /** Soup in which nothing may permit what is forbidden elsewhere: no must-understand. */
    @Provide
    Arbitrary<HeaderFields> plainSoup() {
        return soup().filter(fields -> fields.lines()
                .stream()
                .noneMatch(line -> line.value().toLowerCase(Locale.ROOT).contains("must-understand")));
    }

    private static Arbitrary<HeaderFields> fields(String... names) {
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
        Arbitrary<HeaderFields.FieldLine> line = Combinators.combine(Arbitraries.of(names), value)
                .as(HeaderFields.FieldLine::new);
        return line.list().ofMaxSize(8).map(HeaderFields::of);
    }

    @Provide
    Arbitrary<Instant> time() {
        return Arbitraries.oneOf(
                Arbitraries.integers().between(-100_000, 100_000).map(CacheFixtures::secondsLater),
                Arbitraries.of(Instant.EPOCH, Instant.parse("9999-12-31T23:59:59Z"), Instant.ofEpochSecond(-100, 7)));
    }

    @Property(tries = 3_000)
    void randomFieldsNeverCauseAnException(@ForAll("request") HeaderFields request, @ForAll("soup") HeaderFields answer,
            @ForAll("time") Instant then,
            @ForAll("time") Instant now, @ForAll int status) {
        RequestHead asked = RequestHead.parse("GET", request);
        var head = new ResponseHead(Math.floorMod(status, 1000), answer);
        Body body = Body.of(new byte[37]);

        if (Storability.decide(asked, head, ALL_OPTIONS_POLICY, then, now) instanceof Storability.Store share) {
            StoredResponse stored = StoredResponse.of(CacheFixtures.KEY, asked, share, ALL_OPTIONS_POLICY, 1, body);
            ClientResponse.of(asked, stored, now, ALL_OPTIONS_POLICY);
            Reuse.decide(asked, stored, ALL_OPTIONS_POLICY, now, 0.01);
            Reuse.maySatisfyWaiter(asked, stored, ALL_OPTIONS_POLICY, then, now);
            Revalidation.conditionalFields(stored);
            Revalidation.freshen(stored, new ResponseHead(304, answer), asked, ALL_OPTIONS_POLICY, then, now, 2);
            assertThat(Vary.matches(stored, asked, ALL_OPTIONS_POLICY)).isTrue();
            assertThat(EntryCodec.decode(EntryCodec.encode(stored))).contains(stored);
        }
        ClientResponse.of(asked, head, body, now, ALL_OPTIONS_POLICY);
        Storability.decidePost(RequestHead.parse("POST", request), CacheFixtures.KEY, head, ALL_OPTIONS_POLICY, then,
                now);
        Invalidation.targets("POST", CacheFixtures.KEY, head);
        for (boolean trusted : List.of(true, false)) {
            var rules = new Forwarding.ForwardingRules("corral", trusted, trusted, RequestHeaderPolicy.DEFAULT);
            Forwarding.ClientConnection seen = Forwarding.effectiveClient(request, CLIENT_CONNECTION, rules);
            Forwarding.passRequestFields(request, seen, rules);
            Forwarding.sharedRequestFields(request, seen, rules, List.of("x-a"));
        }
        SurrogateTags.of(head, ALL_OPTIONS_POLICY);
    }

    @Property(tries = 3_000)
    void forbiddenResponseIsNeverStored(@ForAll("request") HeaderFields request,
            @ForAll("plainSoup") HeaderFields answer,
            @ForAll("forbidding") HeaderFields.FieldLine forbidding, @ForAll int where, @ForAll int status) {
        List<HeaderFields.FieldLine> lines = new ArrayList<>(answer.lines());
        lines.add(Math.floorMod(where, lines.size() + 1), forbidding);
        var head = new ResponseHead(200 + Math.floorMod(status, 400), HeaderFields.of(lines));

        Storability storing = Storability.decide(RequestHead.parse("GET", request), head, CACHE_CONTROL_ONLY,
                CacheFixtures.NOW, CacheFixtures.NOW);

        assertThat(storing).isNotInstanceOf(Storability.Store.class);
        if (storing instanceof Storability.FailFill fail) {
            assertThat(fail.shareable()).isFalse();
        }
    }

    @Provide
    Arbitrary<HeaderFields.FieldLine> forbidding() {
        Arbitrary<String> around = Arbitraries.of("", "max-age=60", "public", "s-maxage=60", "ext=\"a, b\"", "x=1, y");
        Arbitrary<String> word = Arbitraries.of("private", "no-store", "private=\"x-a\"", "PRIVATE", "No-Store",
                "private =", "no-store=1", "private;");
        Arbitrary<HeaderFields.FieldLine> directive = Combinators.combine(around, word, around)
                .as((before, it, after) -> new HeaderFields.FieldLine("Cache-Control",
                        before + " ,\t" + it + "," + after));
        return Arbitraries.oneOf(directive,
                Arbitraries.of(new HeaderFields.FieldLine("set-cookie", ""),
                        new HeaderFields.FieldLine("SET-COOKIE", "session=1"),
                        new HeaderFields.FieldLine("Vary", "*"), new HeaderFields.FieldLine("vary", "Accept ,*")));
    }

    @Property(tries = 2_000)
    void authorizationResponseIsNotStoredWithoutPermission(@ForAll("soup") HeaderFields answer) {
        HeaderFields silent = answer.without(name -> name.toLowerCase(Locale.ROOT).endsWith("control"));

        Storability storing = CacheFixtures.storability(CacheFixtures.getRequest("Authorization: Basic Zm9v"),
                new ResponseHead(200,
                        silent.plus("Cache-Control", "max-age=60")),
                CachePolicy.DEFAULT);

        assertThat(storing).isInstanceOf(Storability.DoNotStore.class);
    }

    @Property(tries = 2_000)
    void ageIsNeverNegativeAndNeverDecreases(@ForAll("soup") HeaderFields answer, @ForAll("time") Instant requested,
            @ForAll("time") Instant received, @ForAll("time") Instant now) {
        if (Storability.decide(CacheFixtures.getRequest(""), new ResponseHead(200, answer), ALL_OPTIONS_POLICY,
                requested,
                received) instanceof Storability.Store share) {
            Freshness terms = share.freshness();

            assertThat(terms.age(now)).isGreaterThanOrEqualTo(Duration.ZERO);
            assertThat(terms.age(now.plusSeconds(1))).isGreaterThanOrEqualTo(terms.age(now));
            assertThat(terms.retention()).isBetween(Duration.ofSeconds(3), ALL_OPTIONS_POLICY.maxTtl());
            assertThat(terms.staleAsOf(now).ttl(now)).isLessThanOrEqualTo(Duration.ZERO);
        }
    }

    @Property(tries = 2_000)
    void everyEntrySurvivesAnEncodingRoundTrip(@ForAll("soup") HeaderFields fields, @ForAll String key,
            @ForAll long position,
            @ForAll byte[] bytes) {
        Freshness terms = CacheFixtures.freshness("Cache-Control: max-age=60, stale-while-revalidate=5");
        var head = new ResponseHead(299, fields);
        Body body = Body.of(bytes);
        List<Entry> entries = List.of(
                new StoredResponse(key, head, fields, terms, position, List.of(key, "a"), body),
                new VaryMarker(key, List.of("a", key), position), new HitForMiss(key, "private", position),
                new FailedFill(key, "unreachable", 502, Optional.empty(), Optional.of(Duration.ofMillis(1_500)),
                        position),
                new FailedFill(key, "server-error", 503,
                        Optional.of(new FailedFill.OriginErrorResponse(head, fields, body)),
                        Optional.empty(), position));

        for (Entry entry : entries) {
            assertThat(EntryCodec.decode(EntryCodec.encode(entry))).contains(entry);
            Entry traced = entry.withTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            assertThat(EntryCodec.decode(EntryCodec.encode(traced))).contains(traced);
        }
    }

    @Property(tries = 1_000)
    void damagedEntryIsNotDecoded(@ForAll("soup") HeaderFields fields, @ForAll int where, @ForAll byte flip) {
        byte[] bytes = EntryCodec.encode(new StoredResponse(CacheFixtures.KEY, new ResponseHead(200, fields), fields,
                CacheFixtures.freshness("Cache-Control: max-age=60"), 3, List.of(), Body.EMPTY));
        int at = Math.floorMod(where, bytes.length);

        assertThat(EntryCodec.decode(Arrays.copyOf(bytes, at))).isEmpty();
        bytes[at] ^= flip == 0 ? 1 : flip;
        assertThat(EntryCodec.decode(bytes)).isEmpty();
    }

    @Property(tries = 1_000)
    void randomBytesNeverMakeDecodingThrow(@ForAll byte[] bytes) {
        assertThat(EntryCodec.decode(bytes)).isEmpty();
        assertThat(EntryCodec.decode(withValidChecksum(bytes))).satisfiesAnyOf(entry -> assertThat(entry).isEmpty(),
                entry -> assertThat(EntryCodec.decode(EntryCodec.encode(entry.orElseThrow()))).isEqualTo(entry));
    }

    /** With a version, a key, a kind and a checksum that fit, as from a writer gone wrong. */
    private static byte[] withValidChecksum(byte[] bytes) {
        byte kind = (byte) (1 + Math.floorMod(bytes.length, 5));
        byte[] start = {EntryWriter.VERSION, EntryWriter.KEY << 3 | 2, 1, 'k', EntryWriter.KIND << 3, kind,
                EntryWriter.STATUS << 3, 42, EntryWriter.TERMS << 3 | 2, 2, EntryWriter.RESPONSE_TIME << 3 | 2, 0};
        var buffer = ByteBuffer.allocate(start.length + bytes.length + 4).put(start).put(bytes);
        var checksum = new CRC32C();
        checksum.update(buffer.array(), 0, buffer.position());
        return buffer.putInt((int) checksum.getValue()).array();
    }
}
