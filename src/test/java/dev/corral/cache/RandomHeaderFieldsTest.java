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

/** Random, mostly malformed header fields never violate the guarantees of the rules. */
@PropertyDefaults(edgeCases = EdgeCasesMode.NONE)
class RandomHeaderFieldsTest {

    private static final CachePolicy ALL_OPTIONS_POLICY = CachePolicy.builder()
            .surrogateControl(true)
            .earlyRefreshBeta(1.0)
            .staleIfError(Duration.ofDays(1))
            .staleWhileRevalidate(Duration.ofDays(1))
            .build();

    /** Ignores the fields that may override the restrictions of Cache-Control. */
    private static final CachePolicy CACHE_CONTROL_ONLY = CachePolicy.builder().targetedFields(List.of()).build();

    private static final Forwarding.ClientConnection CLIENT_CONNECTION = new Forwarding.ClientConnection("2001:db8::1",
            "https", "shop.example", "2");

    @Provide
    Arbitrary<HeaderFields> randomFields() {
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

    /** Random fields without must-understand, which may override a restriction. */
    @Provide
    Arbitrary<HeaderFields> randomFieldsWithoutMustUnderstand() {
        return randomFields().filter(fields -> fields.lines()
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
    void randomFieldsNeverCauseAnException(@ForAll("request") HeaderFields requestFields,
            @ForAll("randomFields") HeaderFields responseFields,
            @ForAll("time") Instant requestTime,
            @ForAll("time") Instant now, @ForAll int status) {
        RequestHead request = RequestHead.parse("GET", requestFields);
        var head = new ResponseHead(Math.floorMod(status, 1000), responseFields);
        Body body = Body.of(new byte[37]);

        if (Storability.decide(request, head, ALL_OPTIONS_POLICY, requestTime,
                now) instanceof Storability.Store decision) {
            StoredResponse stored = StoredResponse.of(CacheFixtures.KEY, request, decision, ALL_OPTIONS_POLICY, 1,
                    body);
            ClientResponse.of(request, stored, now, ALL_OPTIONS_POLICY);
            Reuse.decide(request, stored, ALL_OPTIONS_POLICY, now, 0.01);
            Reuse.maySatisfyWaiter(request, stored, ALL_OPTIONS_POLICY, requestTime, now);
            Revalidation.conditionalFields(stored);
            Revalidation.freshen(stored, new ResponseHead(304, responseFields), request, ALL_OPTIONS_POLICY,
                    requestTime, now, 2);
            assertThat(Vary.matches(stored, request, ALL_OPTIONS_POLICY)).isTrue();
            assertThat(CacheFixtures.decode(EntryCodec.encode(stored))).contains(stored);
        }
        ClientResponse.of(request, head, body, now, ALL_OPTIONS_POLICY);
        PostStorability.decide(RequestHead.parse("POST", requestFields), CacheFixtures.KEY, head, ALL_OPTIONS_POLICY,
                requestTime,
                now);
        Invalidation.targets("POST", CacheFixtures.KEY, head);
        for (boolean trusted : List.of(true, false)) {
            var rules = new Forwarding.ForwardingRules("corral", trusted, trusted, RequestHeaderPolicy.DEFAULT);
            Forwarding.ClientConnection client = Forwarding.effectiveClient(requestFields, CLIENT_CONNECTION, rules);
            Forwarding.passRequestFields(requestFields, client, rules);
            Forwarding.sharedRequestFields(requestFields, client, rules, List.of("x-a"));
        }
        SurrogateTags.of(head, ALL_OPTIONS_POLICY);
    }

    @Property(tries = 3_000)
    void forbiddenResponseIsNeverStored(@ForAll("request") HeaderFields requestFields,
            @ForAll("randomFieldsWithoutMustUnderstand") HeaderFields responseFields,
            @ForAll("forbidding") HeaderFields.FieldLine forbidding, @ForAll int index, @ForAll int status) {
        List<HeaderFields.FieldLine> lines = new ArrayList<>(responseFields.lines());
        lines.add(Math.floorMod(index, lines.size() + 1), forbidding);
        var head = new ResponseHead(200 + Math.floorMod(status, 400), HeaderFields.of(lines));

        Storability storability = Storability.decide(RequestHead.parse("GET", requestFields), head, CACHE_CONTROL_ONLY,
                CacheFixtures.NOW, CacheFixtures.NOW);

        assertThat(storability).isNotInstanceOf(Storability.Store.class);
        if (storability instanceof Storability.FailFill failure) {
            assertThat(failure.shareable()).isFalse();
        }
    }

    @Provide
    Arbitrary<HeaderFields.FieldLine> forbidding() {
        Arbitrary<String> otherDirective = Arbitraries.of("", "max-age=60", "public", "s-maxage=60", "ext=\"a, b\"",
                "x=1, y");
        Arbitrary<String> word = Arbitraries.of("private", "no-store", "private=\"x-a\"", "PRIVATE", "No-Store",
                "private =", "no-store=1", "private;");
        Arbitrary<HeaderFields.FieldLine> directive = Combinators.combine(otherDirective, word, otherDirective)
                .as((prefix, restriction, suffix) -> new HeaderFields.FieldLine("Cache-Control",
                        prefix + " ,\t" + restriction + "," + suffix));
        return Arbitraries.oneOf(directive,
                Arbitraries.of(new HeaderFields.FieldLine("set-cookie", ""),
                        new HeaderFields.FieldLine("SET-COOKIE", "session=1"),
                        new HeaderFields.FieldLine("Vary", "*"), new HeaderFields.FieldLine("vary", "Accept ,*")));
    }

    @Property(tries = 2_000)
    void authorizationResponseIsNotStoredWithoutPermission(@ForAll("randomFields") HeaderFields responseFields) {
        HeaderFields withoutCacheControl = responseFields
                .without(name -> name.toLowerCase(Locale.ROOT).endsWith("control"));

        Storability storability = CacheFixtures.storability(CacheFixtures.getRequest("Authorization: Basic Zm9v"),
                new ResponseHead(200,
                        withoutCacheControl.plus("Cache-Control", "max-age=60")),
                CachePolicy.DEFAULT);

        assertThat(storability).isInstanceOf(Storability.DoNotStore.class);
    }

    @Property(tries = 2_000)
    void ageIsNeverNegativeAndNeverDecreases(@ForAll("randomFields") HeaderFields responseFields,
            @ForAll("time") Instant requestTime,
            @ForAll("time") Instant responseTime, @ForAll("time") Instant now) {
        if (Storability.decide(CacheFixtures.getRequest(""), new ResponseHead(200, responseFields), ALL_OPTIONS_POLICY,
                requestTime,
                responseTime) instanceof Storability.Store decision) {
            Freshness freshness = decision.freshness();

            assertThat(freshness.age(now)).isGreaterThanOrEqualTo(Duration.ZERO);
            assertThat(freshness.age(now.plusSeconds(1))).isGreaterThanOrEqualTo(freshness.age(now));
            assertThat(freshness.retention()).isBetween(Duration.ofSeconds(3), ALL_OPTIONS_POLICY.maxTtl());
            assertThat(freshness.staleAsOf(now).ttl(now)).isLessThanOrEqualTo(Duration.ZERO);
        }
    }

    @Property(tries = 2_000)
    void everyEntrySurvivesAnEncodingRoundTrip(@ForAll("randomFields") HeaderFields fields, @ForAll String key,
            @ForAll long position,
            @ForAll byte[] bytes) {
        Freshness freshness = CacheFixtures.freshness("Cache-Control: max-age=60, stale-while-revalidate=5");
        var head = new ResponseHead(299, fields);
        Body body = Body.of(bytes);
        List<Entry> entries = List.of(
                new StoredResponse(key, head, fields, freshness, position, List.of(key, "a"), body),
                new VaryMarker(key, List.of("a", key), position), new HitForMiss(key, "private", position),
                new FailedFill(key, "unreachable", 502, Optional.empty(), Optional.of(Duration.ofMillis(1_500)),
                        position),
                new FailedFill(key, "server-error", 503,
                        Optional.of(new FailedFill.OriginErrorResponse(head, fields, body)),
                        Optional.empty(), position));

        for (Entry entry : entries) {
            assertThat(CacheFixtures.decode(EntryCodec.encode(entry))).contains(entry);
            Entry traced = entry.withTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            assertThat(CacheFixtures.decode(EntryCodec.encode(traced))).contains(traced);
        }
    }

    @Property(tries = 1_000)
    void damagedEntryIsNotDecoded(@ForAll("randomFields") HeaderFields fields, @ForAll int index, @ForAll byte mask) {
        byte[] bytes = EntryCodec.encode(new StoredResponse(CacheFixtures.KEY, new ResponseHead(200, fields), fields,
                CacheFixtures.freshness("Cache-Control: max-age=60"), 3, List.of(), Body.EMPTY));
        int position = Math.floorMod(index, bytes.length);

        assertThat(CacheFixtures.decode(Arrays.copyOf(bytes, position))).isEmpty();
        bytes[position] ^= mask == 0 ? 1 : mask;
        assertThat(CacheFixtures.decode(bytes)).isEmpty();
    }

    @Property(tries = 1_000)
    void randomBytesNeverMakeDecodingThrow(@ForAll byte[] bytes) {
        assertThat(CacheFixtures.decode(bytes)).isEmpty();
        assertThat(CacheFixtures.decode(withValidChecksum(bytes))).satisfiesAnyOf(entry -> assertThat(entry).isEmpty(),
                entry -> assertThat(CacheFixtures.decode(EntryCodec.encode(entry.orElseThrow()))).isEqualTo(entry));
    }

    /** The bytes after a valid version, key and kind, with a valid checksum, as from a faulty writer. */
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
