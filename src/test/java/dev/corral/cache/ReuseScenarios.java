package dev.corral.cache;

import java.util.stream.Stream;

/** Scenarios of reuse: directives, stale use, Vary, conditions, response fields, 304, invalidation, ranges and keys. */
final class ReuseScenarios {

    private static final String HOUR = "Cache-Control: max-age=3600";

    private ReuseScenarios() {}

    static Stream<CacheScenario> all() {
        return Stream
                .of(directives(), stale(), requests(), vary(), varyStar(), conditionalRequests(), responseFields(),
                        notModified(),
                        invalidation(), otherRules())
                .flatMap(scenarios -> scenarios);
    }

    private static CacheScenario neverStored(String id, String section, String response) {
        return CacheScenario.of(id, section).get(response).fetched().get(HOUR).fetched();
    }

    private static Stream<CacheScenario> directives() {
        String future = " | Expires: {10000} | Date: {0}";
        return Stream.of(
                neverStored("cc-resp-private-shared", "9111 5.2.2.7", "Cache-Control: private, max-age=3600"),
                neverStored("cc-resp-no-store", "9111 5.2.2.5", "Cache-Control: no-store"),
                neverStored("cc-resp-no-store-case-insensitive", "9111 5.2", "Cache-Control: No-StOrE"),
                neverStored("cc-resp-no-store-fresh", "9111 5.2.2.5",
                        "Cache-Control: max-age=10000, no-store" + future),
                CacheScenario.of("cc-resp-no-store-old-new", "9111 4")
                        .get("Cache-Control: max-age=10000 | A: 1" + future)
                        .get("Cache-Control: no-store | A: 2")
                        .hit()
                        .hasField("A", "1")
                        .get("")
                        .hit()
                        .hasField("A", "1"),
                CacheScenario.of("cc-resp-no-store-old-max-age", "9111 4")
                        .get("Cache-Control: max-age=10000 | A: 1" + future)
                        .get("Cache-Control: no-store, max-age=0 | A: 2")
                        .get("")
                        .hit()
                        .hasField("A", "1"),
                neverStored("cc-resp-no-cache", "9111 5.2.2.4", "Cache-Control: max-age=10000, no-cache" + future),
                neverStored("cc-resp-no-cache-case-insensitive", "9111 5.2",
                        "Cache-Control: max-age=10000, No-CaChE" + future),
                CacheScenario.of("cc-resp-no-cache-revalidate", "9111 5.2.2.4")
                        .get("Cache-Control: no-cache | ETag: \"abcd\"")
                        .get("ETag: \"abcd\"")
                        .validated(),
                CacheScenario.of("cc-resp-no-cache-revalidate-fresh", "9111 5.2.2.4")
                        .get("Cache-Control: max-age=10000, no-cache | ETag: \"abcd\"" + future)
                        .get("ETag: \"abcd\"")
                        .validated(),
                CacheScenario.of("cc-resp-must-revalidate-fresh", "9111 5.2.2.2")
                        .get("Cache-Control: max-age=10000, must-revalidate | ETag: \"abcd\"")
                        .after(3)
                        .get("")
                        .hit(),
                CacheScenario.of("cc-resp-must-revalidate-stale", "9111 5.2.2.2")
                        .get("Cache-Control: max-age=2, must-revalidate | ETag: \"abcd\"")
                        .get("")
                        .hit()
                        .after(3)
                        .get("ETag: \"abcd\"")
                        .validated()
                        .sentToOrigin("If-None-Match", "\"abcd\""),
                CacheScenario.of("other-authorization", "9111 3.5")
                        .get("Authorization: FOO", "Cache-Control: max-age=100000")
                        .sentToOrigin("Authorization", "FOO")
                        .get("")
                        .fetched(),
                CacheScenario.of("other-authorization-public", "9111 3.5")
                        .get("Authorization: FOO", "Cache-Control: max-age=3600, public")
                        .get("")
                        .hit(),
                CacheScenario.of("other-authorization-must-revalidate", "9111 3.5")
                        .get("Authorization: FOO", "Cache-Control: max-age=3600, must-revalidate")
                        .get("")
                        .hit(),
                CacheScenario.of("other-authorization-smaxage", "9111 3.5")
                        .get("Authorization: FOO", "Cache-Control: s-maxage=3600")
                        .get("")
                        .hit(),
                CacheScenario.of("other-cookie", "9111 4").get(HOUR).get("Cookie: a=b", "").hit(),
                CacheScenario.of("other-set-cookie: not stored by default", "6265 3")
                        .get(HOUR + " | Set-Cookie: a=b")
                        .get("")
                        .fetched(),
                CacheScenario.of("other-set-cookie: stored if the route allows it", "9111 7.3")
                        .withPolicy(CachePolicy.builder().storeSetCookie(true).build())
                        .get(HOUR + " | Set-Cookie: a=b")
                        .get("")
                        .hit()
                        .hasField("Set-Cookie", "a=b"));
    }

    private static Stream<CacheScenario> stale() {
        return Stream.of(
                CacheScenario.of("stale-close", "9111 4.2.4")
                        .get("Cache-Control: max-age=2")
                        .after(3)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.STALE)
                        .hasField("Age", "3")
                        .lacksField("Warning"),
                CacheScenario.of("stale-close: for ten minutes", "9111 4.2.4")
                        .get("Cache-Control: max-age=2")
                        .after(602)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.STALE)
                        .after(1)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.FAILED),
                CacheScenario.of("stale-close-must-revalidate", "9111 5.2.2.2")
                        .get("Cache-Control: max-age=2, must-revalidate")
                        .after(3)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.FAILED),
                CacheScenario.of("stale-close-proxy-revalidate", "9111 5.2.2.8")
                        .get("Cache-Control: max-age=2, proxy-revalidate")
                        .after(3)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.FAILED),
                CacheScenario.of("stale-close-no-cache", "9111 5.2.2.4")
                        .get("Cache-Control: max-age=2, no-cache")
                        .after(3)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.FAILED),
                CacheScenario.of("stale-close-s-maxage=2", "9111 5.2.2.10")
                        .get("Cache-Control: max-age=2, s-maxage=2")
                        .after(3)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.FAILED),
                CacheScenario.of("stale-503: only with stale-if-error", "9111 4.2.4")
                        .get("Cache-Control: max-age=2")
                        .after(3)
                        .getWithStatus(503, "")
                        .fetched()
                        .respondsWith(503, "01234567890"),
                CacheScenario.of("stale-sie-503", "5861 4")
                        .get("Cache-Control: max-age=2, stale-if-error=60")
                        .after(3)
                        .getWithStatus(503, "")
                        .isHandled(CacheScenario.Handling.STALE)
                        .respondsWith(200, "01234567890"),
                CacheScenario.of("stale-sie-close", "5861 4")
                        .get("Cache-Control: max-age=2, stale-if-error=60")
                        .after(3)
                        .getWithOriginDown()
                        .isHandled(CacheScenario.Handling.STALE),
                CacheScenario.of("stale-while-revalidate", "5861 3")
                        .get("Cache-Control: max-age=1, stale-while-revalidate=3600 | ETag: \"abc\"")
                        .after(3)
                        .get("")
                        .hit(),
                CacheScenario.of("stale-while-revalidate-window", "5861 3")
                        .get("Cache-Control: max-age=1, stale-while-revalidate=4 | ETag: \"abc\"")
                        .after(3)
                        .get("")
                        .hit()
                        .after(2)
                        .get("")
                        .hit()
                        .after(1)
                        .get("Cache-Control: no-cache")
                        .fetched());
    }

    private static Stream<CacheScenario> requests() {
        return Stream.of(
                CacheScenario.of("ccreq-ma0", "9111 5.2.1.1")
                        .get(HOUR)
                        .after(1)
                        .get("Cache-Control: max-age=0", "")
                        .fetched(),
                CacheScenario.of("ccreq-ma1", "9111 5.2.1.1")
                        .get(HOUR)
                        .after(3)
                        .get("Cache-Control: max-age=1", "")
                        .fetched(),
                CacheScenario.of("ccreq-magreaterage", "9111 5.2.1.1")
                        .get(HOUR + " | Age: 1800")
                        .get("Cache-Control: max-age=600", "")
                        .fetched(),
                CacheScenario.of("ccreq-max-stale", "9111 5.2.1.2")
                        .get("Cache-Control: max-age=2")
                        .after(3)
                        .get("Cache-Control: max-stale=1000", "")
                        .hit(),
                CacheScenario.of("ccreq-max-stale-age", "9111 5.2.1.2")
                        .get("Cache-Control: max-age=1500 | Age: 2000")
                        .get("Cache-Control: max-stale=1000", "")
                        .hit(),
                CacheScenario.of("ccreq-min-fresh", "9111 5.2.1.3")
                        .get("Cache-Control: max-age=1500")
                        .get("Cache-Control: min-fresh=2000", "")
                        .fetched(),
                CacheScenario.of("ccreq-min-fresh-age", "9111 5.2.1.3")
                        .get("Cache-Control: max-age=1500 | Age: 1000")
                        .get("Cache-Control: min-fresh=1000", "")
                        .fetched(),
                CacheScenario.of("ccreq-no-cache", "9111 5.2.1.4")
                        .get(HOUR)
                        .get("Cache-Control: no-cache", "")
                        .fetched(),
                CacheScenario.of("ccreq-no-cache-lm", "9111 5.2.1.4")
                        .get(HOUR + " | Last-Modified: {-10000}")
                        .get("Cache-Control: no-cache", "Last-Modified: {-10000}")
                        .validated(),
                CacheScenario.of("ccreq-no-cache-etag", "9111 5.2.1.4")
                        .get(HOUR + " | ETag: \"abc\"")
                        .get("Cache-Control: no-cache", "ETag: \"abc\"")
                        .validated(),
                CacheScenario.of("ccreq-no-store: nothing is stored for it", "9111 5.2.1.5")
                        .get("Cache-Control: no-store", HOUR)
                        .fetched()
                        .get(HOUR)
                        .fetched()
                        .get("Cache-Control: no-store", "")
                        .hit(),
                CacheScenario.of("ccreq-oic", "9111 5.2.1.7")
                        .get("Cache-Control: max-age=2")
                        .after(3)
                        .get("Cache-Control: only-if-cached", "")
                        .isHandled(CacheScenario.Handling.FAILED),
                CacheScenario.of("pragma-request-no-cache", "9111 5.4").get(HOUR).get("Pragma: no-cache", "").fetched(),
                CacheScenario.of("pragma-request-extension", "9111 5.4").get(HOUR).get("Pragma: unheard-of", "").hit(),
                CacheScenario.of("pragma-response-no-cache", "9111 5.4")
                        .get(HOUR + " | Pragma: no-cache")
                        .get("")
                        .hit());
    }

    private static Stream<CacheScenario> vary() {
        String varies = "Cache-Control: max-age=5000 | Last-Modified: {-3000} | Date: {0} | Vary: ";
        String threeFields = "Foo: 1 | Bar: abc | Baz: 789";
        return Stream.of(
                CacheScenario.of("vary-match", "9111 4.1").get("Foo: 1", varies + "Foo").get("Foo: 1", "").hit(),
                CacheScenario.of("vary-no-match", "9111 4.1").get("Foo: 1", varies + "Foo").get("Foo: 2", "").fetched(),
                CacheScenario.of("vary-omit-stored", "9111 4.1").get(varies + "Foo").get("Foo: 1", "").fetched(),
                CacheScenario.of("vary-omit", "9111 4.1").get("Foo: 1", varies + "Foo").get("").fetched(),
                CacheScenario.of("vary-invalidate", "9111 4.1")
                        .get("Foo: 1", varies + "Foo | A: 1")
                        .get("Foo: 2", varies + "Foo | A: 2")
                        .fetched()
                        .get("Foo: 1", "")
                        .hit()
                        .hasField("A", "1"),
                CacheScenario.of("vary-cache-key", "9111 4.1")
                        .get("Foo: 1 | Other: 2", varies + "Foo")
                        .get("Foo: 1 | Other: 3", "")
                        .hit(),
                CacheScenario.of("vary-2-match", "9111 4.1")
                        .get("Foo: 1 | Bar: abc", varies + "Foo, Bar")
                        .get("Foo: 1 | Bar: abc", "")
                        .hit(),
                CacheScenario.of("vary-2-no-match", "9111 4.1")
                        .get("Foo: 1 | Bar: abc", varies + "Foo, Bar")
                        .get("Foo: 2 | Bar: abc", "")
                        .fetched(),
                CacheScenario.of("vary-2-match-omit", "9111 4.1")
                        .get("Foo: 1 | Bar: abc", varies + "Foo, Bar")
                        .get("")
                        .fetched(),
                CacheScenario.of("vary-3-match", "9111 4.1")
                        .get(threeFields, varies + "Foo, Bar, Baz")
                        .get(threeFields, "")
                        .hit(),
                CacheScenario.of("vary-3-no-match", "9111 4.1")
                        .get(threeFields, varies + "Foo, Bar, Baz")
                        .get("Foo: 2 | Bar: abc | Baz: 789", "")
                        .fetched(),
                CacheScenario.of("vary-3-order", "9111 4.1")
                        .get(threeFields, varies + "Foo, Bar, Baz")
                        .get("Foo: 1 | Baz: 789 | Bar: abcde", "")
                        .fetched(),
                CacheScenario.of("vary-3-omit", "9111 4.1")
                        .get("Foo: 1 | Baz: 789", varies + "Foo, Bar, Baz")
                        .get("Foo: 1 | Baz: 789", "")
                        .hit(),
                CacheScenario.of("vary-normalise-combine", "9111 4.1")
                        .get("Foo: 1, 2", varies + "Foo")
                        .get("Foo: 1 | Foo: 2", "")
                        .hit(),
                CacheScenario.of("vary-normalise-space", "9111 4.1")
                        .get("Foo: 1,2", varies + "Foo")
                        .get("Foo:  1, 2 ", "")
                        .hit(),
                CacheScenario.of("vary-normalise-lang-order", "9110 12.5.4")
                        .get("Accept-Language: en, de", varies + "Accept-Language")
                        .get("Accept-Language: de, en", "")
                        .hit(),
                CacheScenario.of("vary-normalise-lang-case", "5646 2.1.1")
                        .get("Accept-Language: en, de", varies + "Accept-Language")
                        .get("Accept-Language: eN, De", "")
                        .hit(),
                CacheScenario.of("vary-normalise-lang-space", "9111 4.1")
                        .get("Accept-Language: en, de", varies + "Accept-Language")
                        .get("Accept-Language:  en ,   de", "")
                        .hit());
    }

    private static Stream<CacheScenario> varyStar() {
        return Stream.of("vary-star: *", "vary-syntax-star: *", "vary-syntax-star-star: *, *",
                "vary-syntax-star-star-lines: * | Vary: *", "vary-syntax-empty-star: , *",
                "vary-syntax-empty-star-lines:  | Vary: *", "vary-syntax-star-foo: *, Foo",
                "vary-syntax-foo-star: Foo, *")
                .map(row -> row.split(": ", 2))
                .map(row -> CacheScenario.of(row[0], "9111 4.1")
                        .get("Foo: 1 | Baz: 789", "Cache-Control: max-age=5000 | Vary: " + row[1])
                        .get("Foo: 1 | Baz: 789", "")
                        .fetched());
    }

    private static Stream<CacheScenario> conditionalRequests() {
        Stream<CacheScenario> lists = Stream.of("first: \"abcdef\", \"1234\", \"5678\"",
                "second: \"1234\", \"abcdef\", \"5678\"", "last: \"1234\", \"5678\", \"abcdef\"")
                .map(row -> row.split(": ", 2))
                .map(row -> CacheScenario.of("conditional-etag-strong-respond-multiple-" + row[0], "9110 13.1.2")
                        .get(HOUR + " | ETag: \"abcdef\"")
                        .get("If-None-Match: " + row[1], "")
                        .hit()
                        .respondsWith(304, ""));
        return Stream.concat(lists, Stream.of(
                CacheScenario.of("conditional-etag-strong-respond", "9111 4.3.2")
                        .get(HOUR + " | ETag: \"abcdef\"")
                        .get("If-None-Match: \"abcdef\"", "")
                        .hit()
                        .respondsWith(304, ""),
                CacheScenario.of("conditional-304-etag", "9110 15.4.5")
                        .get(HOUR + " | ETag: \"abcdef\"")
                        .get("If-None-Match: \"abcdef\"", "")
                        .respondsWith(304, "")
                        .hasField("ETag", "\"abcdef\""),
                CacheScenario.of("conditional-etag-precedence", "9110 13.2.2")
                        .get(HOUR + " | Last-Modified: {-5000} | ETag: \"abcdef\"")
                        .get("If-None-Match: \"abcdef\" | If-Modified-Since: {-10000}", "")
                        .hit()
                        .respondsWith(304, "")
                        .get("If-None-Match: \"other\" | If-Modified-Since: {0}", "")
                        .respondsWith(200, "01234567890"),
                CacheScenario.of("conditional-etag-weak-respond", "9110 8.8.3.2")
                        .get(HOUR + " | ETag: W/\"abcdef\"")
                        .get("If-None-Match: W/\"abcdef\"", "")
                        .hit()
                        .respondsWith(304, ""),
                CacheScenario.of("conditional-etag-vary-headers", "9111 4.3.1")
                        .get("Abc: 123", "Expires: {1} | ETag: \"abcdef\" | Date: {0} | Vary: Abc")
                        .after(3)
                        .get("Abc: 123", "ETag: \"abcdef\"")
                        .validated()
                        .sentToOrigin("Abc", "123"),
                CacheScenario.of("conditional-etag-strong-generate", "9111 4.3.1")
                        .get("Cache-Control: max-age=2 | ETag: \"abcdef\"")
                        .after(3)
                        .get("ETag: \"abcdef\"")
                        .validated()
                        .sentToOrigin("If-None-Match", "\"abcdef\""),
                CacheScenario.of("conditional-etag-weak-generate-weak", "9111 4.3.1")
                        .get("Cache-Control: max-age=2 | ETag: W/\"abcdef\"")
                        .after(3)
                        .get("ETag: W/\"abcdef\"")
                        .validated()
                        .sentToOrigin("If-None-Match", "W/\"abcdef\""),
                CacheScenario.of("conditional-lm-fresh", "9110 13.1.3")
                        .get(HOUR + " | Last-Modified: {-3000}")
                        .get("If-Modified-Since: {-3000}", "")
                        .hit()
                        .respondsWith(304, "")
                        .get("If-Modified-Since: {-3001}", "")
                        .hit()
                        .respondsWith(200, "01234567890"),
                CacheScenario.of("conditional-lm-fresh-earlier", "9110 13.1.3")
                        .get(HOUR + " | Last-Modified: {-3000}")
                        .get("If-Modified-Since: {-2000}", "")
                        .hit()
                        .respondsWith(304, ""),
                CacheScenario.of("conditional-lm-stale", "9111 4.3.2")
                        .get("Cache-Control: max-age=2 | Last-Modified: {-3000}")
                        .after(3)
                        .get("If-Modified-Since: {-3000}", "Last-Modified: {-3000}")
                        .validated()
                        .respondsWith(304, ""),
                CacheScenario.of("conditional-lm-fresh-no-lm", "9111 4.3.2")
                        .get(HOUR + " | Date: {-3000}")
                        .get("If-Modified-Since: {-3000}", "")
                        .hit()
                        .respondsWith(304, ""),
                CacheScenario.of("conditional-lm-fresh-rfc850", "9110 5.6.7")
                        .get(HOUR + " | Last-Modified: Mon, 23 Nov 2026 11:00:00 GMT")
                        .get("If-Modified-Since: Monday, 23-Nov-26 11:00:00 GMT", "")
                        .hit()
                        .respondsWith(304, "")));
    }

    private static Stream<CacheScenario> responseFields() {
        Stream<CacheScenario> stored = Stream
                .of("Test-Header: 1", "X-Test-Header: 1", "Content-Foo: 1", "X-Content-Foo: 1",
                        "Content-Encoding: 1", "Content-Length: 11", "Content-Location: /bar",
                        "Content-MD5: N7UdGUp1E+RbVvZSTy1R8g==", "Content-Range: 1",
                        "Content-Security-Policy: default-src a",
                        "Content-Type: text/plain;charset=utf-8", "Clear-Site-Data: cookies", "ETag: \"ghijkl\"",
                        "Expires: Mon, 11 Jan 2038 11:11:11 GMT", "Public-Key-Pins: 1", "Set-Cookie2: a=c",
                        "X-Frame-Options: sameorigin", "X-XSS-Protection: 1; mode=block")
                .map(row -> CacheScenario.of("headers-store-" + row.split(":", 2)[0], "9111 3.1")
                        .get("Date: {0} | " + HOUR + " | " + row)
                        .after(3)
                        .get("")
                        .hit()
                        .hasField(row.split(": ", 2)[0], row.split(": ", 2)[1]));
        Stream<CacheScenario> dropped = Stream.of("Connection", "Keep-Alive", "Proxy-Authenticate",
                "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection", "TE", "Transfer-Encoding",
                "Upgrade")
                .map(name -> CacheScenario.of("headers-store-" + name, "9111 3.1")
                        .get("Date: {0} | " + HOUR + " | " + name + ": value")
                        .after(3)
                        .get("")
                        .hit()
                        .lacksField(name));
        return Stream.of(stored, dropped, Stream.of(
                CacheScenario.of("headers-store-Cache-Control", "9111 3.1")
                        .get("Date: {0} | Cache-Control: max-age=3600")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Cache-Control", "max-age=3600"),
                CacheScenario.of("headers-store-Set-Cookie", "9111 7.3: only if the route allows it")
                        .withPolicy(CachePolicy.builder().storeSetCookie(true).build())
                        .get("Date: {0} | " + HOUR + " | Set-Cookie: a=c")
                        .get("")
                        .hit()
                        .hasField("Set-Cookie", "a=c"),
                CacheScenario.of("headers-omit-headers-listed-in-Connection", "9111 3.1")
                        .get(HOUR + " | Connection: a, b | a: 1 | b: 2 | c: 3")
                        .get("")
                        .hit()
                        .hasField("c", "3")
                        .lacksField("a")
                        .lacksField("b")))
                .flatMap(scenarios -> scenarios);
    }

    private static Stream<CacheScenario> notModified() {
        Stream<CacheScenario> updated = Stream.of("Test-Header", "X-Test-Header", "Content-Foo", "X-Content-Foo")
                .map(name -> CacheScenario.of("304-etag-update-response-" + name, "9111 4.3.4")
                        .get("Cache-Control: max-age=2 | ETag: \"1\" | " + name + ": A")
                        .after(3)
                        .get("Cache-Control: max-age=2 | ETag: \"1\" | " + name + ": B")
                        .validated()
                        .hasField(name, "B")
                        .get("")
                        .hit()
                        .hasField(name, "B"));
        return Stream.concat(updated, Stream.of(
                CacheScenario.of("304-lm-use-stored-Test-Header", "9111 4.3.4")
                        .get("Cache-Control: max-age=2 | Last-Modified: {-5000} | Date: {0} | Test-Header: A")
                        .after(3)
                        .get("Last-Modified: {-5000} | Date: {3}")
                        .validated()
                        .hasField("Test-Header", "A"),
                CacheScenario.of("304-etag-update-response-Cache-Control", "9111 4.3.4")
                        .get("Cache-Control: max-age=1 | ETag: \"1\"")
                        .after(3)
                        .get("Cache-Control: max-age=3600 | ETag: \"1\"")
                        .validated()
                        .hasField("Cache-Control", "max-age=3600")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Cache-Control", "max-age=3600"),
                CacheScenario.of("304-etag-update-response-Content-Length", "9111 3.2")
                        .get("Cache-Control: max-age=2 | ETag: \"1\" | Content-Length: 11")
                        .after(3)
                        .get("Cache-Control: max-age=2 | ETag: \"1\" | Content-Length: 10")
                        .validated()
                        .hasField("Content-Length", "11")
                        .get("")
                        .hit()
                        .hasField("Content-Length", "11")));
    }

    private static Stream<CacheScenario> invalidation() {
        return Stream.of("POST", "PUT", "DELETE", "M-SEARCH")
                .flatMap(method -> Stream.of(
                        CacheScenario.of("invalidate-" + method, "9111 4.4")
                                .get(HOUR)
                                .request(method, "/product/1", "", 200, "")
                                .get("")
                                .fetched(),
                        CacheScenario.of("invalidate-" + method + "-failed", "9111 4.4")
                                .get(HOUR)
                                .request(method, "/product/1", "", 500, "")
                                .get("")
                                .hit(),
                        CacheScenario.of("invalidate-" + method + "-location", "9111 4.4")
                                .get(HOUR)
                                .request(method, "/product/2", "", 201, "Location: 1")
                                .get("")
                                .fetched(),
                        CacheScenario.of("invalidate-" + method + "-cl", "9111 4.4")
                                .get(HOUR)
                                .request(method, "/product/2", "", 200,
                                        "Content-Location: http://shop.example:80/product/1")
                                .get("")
                                .fetched()));
    }

    private static Stream<CacheScenario> otherRules() {
        return Stream.of(
                CacheScenario.of("query-args-different", "9111 2")
                        .request("GET", "/product/1?test=1", "", 200, HOUR)
                        .request("GET", "/product/1?test=2", "", 200, "")
                        .fetched(),
                CacheScenario.of("query-args-same", "9111 2")
                        .request("GET", "/product/1?test=1", "", 200, HOUR)
                        .request("GET", "/product/1?test=1", "", 200, "")
                        .hit(),
                CacheScenario.of("method-POST", "9110 9.3.3")
                        .request("POST", "/product/1", "Content-Length: 5", 200, HOUR + " | Content-Location: ")
                        .get("")
                        .hit(),
                CacheScenario.of("partial-store-complete-reuse-partial", "9111 3.4")
                        .get(HOUR)
                        .get("Range: bytes=0-1", "")
                        .hit()
                        .respondsWith(206, "01")
                        .hasField("Content-Range", "bytes 0-1/11"),
                CacheScenario.of("partial-store-complete-reuse-partial-no-last", "9110 14.1.2")
                        .get(HOUR)
                        .get("Range: bytes=1-", "")
                        .hit()
                        .respondsWith(206, "1234567890"),
                CacheScenario.of("partial-store-complete-reuse-partial-suffix", "9110 14.1.2")
                        .get(HOUR)
                        .get("Range: bytes=-1", "")
                        .hit()
                        .respondsWith(206, "0"),
                CacheScenario.of("partial-use-headers", "9111 3.4")
                        .get(HOUR + " | A: 1")
                        .get("Range: bytes=0-1", "A: 2")
                        .hit()
                        .respondsWith(206, "01"),
                CacheScenario.of("partial-use-stored-headers", "9110 15.3.7")
                        .get(HOUR + " | A: 1")
                        .get("Range: bytes=0-1", "")
                        .hit()
                        .respondsWith(206, "01")
                        .hasField("A", "1"),
                CacheScenario.of("interim-not-cached", "9111 3")
                        .getWithStatus(103, "Cache-Control: max-age=100000")
                        .get(HOUR)
                        .fetched()
                        .get("")
                        .hit());
    }
}
