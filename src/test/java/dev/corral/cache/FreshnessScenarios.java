package dev.corral.cache;

import java.util.List;
import java.util.stream.Stream;

/** Scenarios of freshness: cc-freshness, cc-parse, age-parse, expires, cdn-cache-control, heuristic, status. */
final class FreshnessScenarios {

    private FreshnessScenarios() {}

    static Stream<CacheScenario> all() {
        return Stream.of(cacheControl(), age(), expires(), targeted(), heuristics(), statuses())
                .flatMap(scenarios -> scenarios);
    }

    private static CacheScenario fresh(String id, String section, String response) {
        return CacheScenario.of(id, section).get(response).fetched().after(3).get("").hit();
    }

    private static CacheScenario stale(String id, String section, String response) {
        return CacheScenario.of(id, section).get(response).fetched().after(3).get("").fetched();
    }

    private static Stream<CacheScenario> cacheControl() {
        return Stream.of(
                fresh("freshness-max-age", "9111 5.2.2.1", "Cache-Control: max-age=3600"),
                stale("freshness-max-age-stale", "9111 5.2.2.1", "Cache-Control: max-age=2 | Date: {0}"),
                CacheScenario.of("freshness-max-age-stale: one second before", "9111 4.2")
                        .get("Cache-Control: max-age=2")
                        .after(1)
                        .get("")
                        .hit()
                        .after(1)
                        .get("")
                        .fetched(),
                stale("freshness-max-age-0", "9111 4.2", "Cache-Control: max-age=0"),
                stale("freshness-max-age-negative", "9111 4.2.1", "Cache-Control: max-age=-3600"),
                fresh("freshness-max-age-max-minus-1", "9111 1.2.2", "Cache-Control: max-age=2147483647"),
                fresh("freshness-max-age-max", "9111 1.2.2", "Cache-Control: max-age=2147483648"),
                fresh("freshness-max-age-max-plus-1", "9111 1.2.2", "Cache-Control: max-age=2147483649"),
                fresh("freshness-max-age-max-plus", "9111 1.2.2", "Cache-Control: max-age=99999999999"),
                stale("freshness-max-age-age", "9111 4.2.3", "Date: {0} | Cache-Control: max-age=3600 | Age: 7200"),
                stale("freshness-max-age-date", "9111 4.2.3", "Date: {-7200} | Cache-Control: max-age=3600"),
                fresh("freshness-max-age-expires", "9111 5.3",
                        "Cache-Control: max-age=3600 | Expires: {-7200} | Date: {0}"),
                fresh("freshness-max-age-expires-invalid", "9111 5.3",
                        "Cache-Control: max-age=3600 | Expires: 0 | Date: {0}"),
                stale("freshness-max-age-0-expires", "9111 5.3",
                        "Expires: {3600} | Cache-Control: max-age=0 | Date: {0}"),
                fresh("freshness-max-age-extension", "9111 5.2.3", "Cache-Control: foobar, max-age=3600"),
                fresh("freshness-max-age-case-insenstive", "9111 5.2", "Cache-Control: MaX-aGe=3600"),
                fresh("freshness-s-maxage-shared", "9111 5.2.2.10", "Cache-Control: s-maxage=3600"),
                stale("freshness-max-age-s-maxage-shared-longer", "9111 5.2.2.10",
                        "Cache-Control: max-age=3600, s-maxage=1"),
                stale("freshness-max-age-s-maxage-shared-longer-reversed", "9111 5.2.2.10",
                        "Cache-Control: s-maxage=1, max-age=3600"),
                stale("freshness-max-age-s-maxage-shared-longer-multiple", "9111 5.2.2.10",
                        "Cache-Control: max-age=3600 | Cache-Control: s-maxage=1"),
                fresh("freshness-max-age-s-maxage-shared-shorter", "9111 5.2.2.10",
                        "Cache-Control: max-age=1, s-maxage=3600"),
                fresh("freshness-max-age-s-maxage-shared-shorter-expires", "9111 5.2.2.10",
                        "Expires: {-10} | Cache-Control: max-age=0, s-maxage=3600"),
                stale("freshness-max-age-ignore-quoted", "9110 5.6.4",
                        "Cache-Control: extension=\"max-age=3600\", max-age=1"),
                stale("freshness-max-age-ignore-quoted-rev", "9110 5.6.4",
                        "Cache-Control: max-age=1, extension=\"max-age=3600\""),
                fresh("freshness-max-age-leading-zero", "9111 1.2.2", "Cache-Control: max-age=003600"),
                stale("freshness-max-age-single-quoted", "9111 4.2.1", "Cache-Control: max-age='3600'"),
                // Not required by the suite; the choices of Corral.
                stale("freshness-none", "9111 4.2.1", ""),
                stale("freshness-max-age-two-fresh-stale-sameline", "9111 4.2.1",
                        "Cache-Control: max-age=1800, max-age=1"),
                stale("freshness-max-age-two-stale-fresh-sepline", "9111 4.2.1",
                        "Cache-Control: max-age=1 | Cache-Control: max-age=1800"),
                fresh("freshness-max-age-quoted", "9111 5.2", "Cache-Control: max-age=\"3600\""),
                stale("freshness-max-age-space-before-equals", "9111 5.2", "Cache-Control: max-age =3600"),
                stale("freshness-max-age-space-after-equals", "9111 5.2", "Cache-Control: max-age= 3600"),
                stale("freshness-max-age-decimal-zero", "9111 1.2.2", "Cache-Control: max-age=3600.0"),
                stale("freshness-max-age-100a", "9111 4.2.1", "Cache-Control: max-age=3600a"));
    }

    private static Stream<CacheScenario> age() {
        String hour = "Date: {0} | Cache-Control: max-age=3600 | ";
        return Stream.of(
                fresh("age-parse-nonnumeric", "9111 5.1", hour + "Age: abc"),
                fresh("age-parse-negative", "9111 5.1", hour + "Age: -7200"),
                fresh("age-parse-float", "9111 5.1", hour + "Age: 7200.0"),
                stale("age-parse-large-minus-one", "9111 1.2.2", hour + "Age: 2147483647"),
                stale("age-parse-large", "9111 1.2.2", hour + "Age: 2147483648"),
                stale("age-parse-larger", "9111 1.2.2", hour + "Age: 2147483649"),
                stale("age-parse-suffix", "9111 5.1", hour + "Age: 7200, 0"),
                fresh("age-parse-prefix", "9111 5.1", hour + "Age: 0, 7200"),
                stale("age-parse-suffix-twoline", "9111 5.1", hour + "Age: 7200 | Age: 0"),
                fresh("age-parse-prefix-twoline", "9111 5.1", hour + "Age: 0 | Age: 7200"),
                fresh("age-parse-dup-0", "9111 5.1", hour + "Age: 0, 0"),
                fresh("age-parse-dup-0-twoline", "9111 5.1", hour + "Age: 0 | Age: 0"),
                fresh("age-parse-dup-old", "9111 5.1",
                        "Date: {0} | Cache-Control: max-age=10000 | Age: 3600 | Age: 3600"),
                fresh("age-parse-parameter", "9111 5.1", hour + "Age: 7200;foo=bar"),
                CacheScenario.of("other-age-gen", "9111 5.1")
                        .get("Cache-Control: max-age=100000 | Date: {0}")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Age", "3"),
                CacheScenario.of("other-age-update-expires", "9111 4.2.3")
                        .get("Expires: {2592000} | Date: {0} | Age: 30")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Age", "33"),
                CacheScenario.of("other-age-update-max-age", "9111 4.2.3")
                        .get("Cache-Control: max-age=100000 | Date: {0} | Age: 30")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Age", "33"),
                CacheScenario.of("other-date-update", "9110 6.6.1")
                        .get("Cache-Control: max-age=100000 | Date: {0}")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Date", "{0}"),
                CacheScenario.of("other-date-update-expires", "9110 6.6.1")
                        .get("Expires: {2592000} | Date: {0}")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Date", "{0}")
                        .hasField("Expires", "{2592000}"));
    }

    private static Stream<CacheScenario> expires() {
        Stream<CacheScenario> validDates = Stream.of(
                fresh("freshness-expires-future", "9111 5.3", "Expires: {2592000} | Date: {0}"),
                fresh("freshness-expires-invalid-date", "9110 6.6.1", "Date: foo | Expires: {10}"),
                fresh("freshness-expires-32bit", "9111 5.3", "Expires: Tue, 19 Jan 2038 14:14:08 GMT | Date: {0}"),
                fresh("freshness-expires-far-future", "9111 5.3",
                        "Expires: Sun, 21 Nov 2286 04:46:39 GMT | Date: {0}"),
                fresh("freshness-expires-rfc850", "9110 5.6.7",
                        "Expires: Thursday, 18-Aug-50 02:01:18 GMT | Date: {0}"),
                fresh("freshness-expires-ansi-c", "9110 5.6.7", "Expires: Thu Aug  8 02:01:18 2050 | Date: {0}"),
                fresh("freshness-expires-wrong-case-weekday", "9110 5.6.7",
                        "Expires: THU, 18 Aug 2050 02:01:18 GMT | Date: {0}"),
                fresh("freshness-expires-wrong-case-month", "9110 5.6.7",
                        "Expires: Thu, 18 AUG 2050 02:01:18 GMT | Date: {0}"),
                fresh("freshness-expires-wrong-case-tz", "9110 5.6.7",
                        "Expires: Thu, 18 Aug 2050 02:01:18 gMT | Date: {0}"));
        Stream<CacheScenario> pastDates = Stream.of(
                stale("freshness-expires-past", "9111 5.3", "Expires: {-2592000} | Date: {0}"),
                stale("freshness-expires-present", "9111 4.2", "Expires: {0} | Date: {0}"),
                stale("freshness-expires-old-date", "9111 4.2.1", "Expires: {300} | Date: {400}"),
                stale("freshness-expires-invalid", "9111 5.3", "Expires: 0 | Date: {0}"),
                stale("freshness-expires-age-slow-date", "9111 4.2.3", "Date: {-10} | Expires: {10} | Age: 25"),
                stale("freshness-expires-age-fast-date", "9111 4.2.3", "Date: {10} | Expires: {20} | Age: 15"));
        Stream<CacheScenario> malformedDates = Stream.of(
                "utc: Thu, 18 Aug 2050 02:01:18 UTC", "aest: Thu, 18 Aug 2050 02:01:18 AEST",
                "2-digit-year: Thu, 18 Aug 50 02:01:18 GMT", "no-comma: Thu 18 Aug 2050 02:01:18 GMT",
                "multiple-spaces: Thu, 18  Aug  2050 02:01:18 GMT", "date-dashes: Thu, 18-Aug-2050 02:01:18 GMT",
                "time-periods: Thu, 18 Aug 2050 02.01.18 GMT", "1-digit-hour: Thu, 18 Aug 2050 2:01:18 GMT",
                "multiple-lines: Thu, 18 Aug 2050 2:01:18 GMT | Expires: Thu, 18 Aug 2050 2:01:19 GMT")
                .map(row -> row.split(": ", 2))
                .map(row -> stale("freshness-expires-invalid-" + row[0], "9111 5.3",
                        "Expires: " + row[1] + " | Date: {0}"));
        return Stream.of(validDates, pastDates, malformedDates).flatMap(scenarios -> scenarios);
    }

    private static Stream<CacheScenario> targeted() {
        return Stream.of(
                fresh("cdn-max-age", "9213 2.2", "CDN-Cache-Control: max-age=3600"),
                fresh("cdn-max-age-max", "9111 1.2.2", "CDN-Cache-Control: max-age=2147483648"),
                fresh("cdn-max-age-max-plus", "9111 1.2.2", "CDN-Cache-Control: max-age=99999999999"),
                stale("cdn-max-age-age", "9111 4.2.3", "Date: {0} | CDN-Cache-Control: max-age=3600 | Age: 7200"),
                stale("cdn-max-age-space-before-equals", "9213 2.1",
                        "Cache-Control: max-age=1 | CDN-Cache-Control: max-age =100"),
                stale("cdn-max-age-space-after-equals", "9213 2.1",
                        "Cache-Control: max-age=1 | CDN-Cache-Control: max-age= 100"),
                stale("cdn-max-age-0", "9213 2.2", "CDN-Cache-Control: max-age=0"),
                fresh("cdn-max-age-extension", "9213 2.1", "CDN-Cache-Control: foobar, max-age=3600"),
                stale("cdn-max-age-case-insensitive", "9213 2.1", "CDN-Cache-Control: MaX-aGe=3600"),
                fresh("cdn-max-age-expires", "9213 2.2",
                        "CDN-Cache-Control: max-age=3600 | Expires: {-10000} | Date: {0}"),
                fresh("cdn-max-age-cc-max-age-invalid-expires", "9213 2.2",
                        "CDN-Cache-Control: max-age=3600 | Expires: 0 | Date: {0}"),
                stale("cdn-max-age-0-expires", "9213 2.2",
                        "CDN-Cache-Control: max-age=0 | Expires: {10000} | Date: {0}"),
                fresh("cdn-max-age-short-cc-max-age", "9213 2.2",
                        "Cache-Control: max-age=1 | CDN-Cache-Control: max-age=3600"),
                stale("cdn-max-age-long-cc-max-age", "9213 2.2",
                        "Cache-Control: max-age=3600 | CDN-Cache-Control: max-age=1"),
                stale("cdn-private", "9213 2.2",
                        "CDN-Cache-Control: private | Cache-Control: max-age=10000 | Expires: {10000} | Date: {0}"),
                stale("cdn-no-cache", "9213 2.2",
                        "CDN-Cache-Control: no-cache | Cache-Control: max-age=10000 | Expires: {10000} | Date: {0}"),
                stale("cdn-no-store-cc-fresh", "9213 2.2",
                        "Cache-Control: max-age=10000 | CDN-Cache-Control: no-store | Expires: {10000} | Date: {0}"),
                fresh("cdn-fresh-cc-nostore", "9213 2.2",
                        "Cache-Control: no-store | CDN-Cache-Control: max-age=10000"),
                stale("cdn-cc-invalid-sh-type-unknown", "9213 2.1",
                        "CDN-Cache-Control: max-age=10000, &&&&& | Cache-Control: no-store"),
                stale("cdn-cc-invalid-sh-type-wrong", "9213 2.1",
                        "CDN-Cache-Control: max-age=\"10000\" | Cache-Control: no-store"),
                CacheScenario.of("cdn-expires-update-exceed", "9213 2.2")
                        .get("Cache-Control: max-age=1 | Expires: {1} | CDN-Cache-Control: max-age=10000 | Date: {0}")
                        .after(3)
                        .get("")
                        .hit()
                        .hasField("Expires", "{1}")
                        .hasField("Age", "3")
                        .hasField("Date", "{0}"));
    }

    private static Stream<CacheScenario> heuristics() {
        String lastDay = "Last-Modified: {-86400} | Date: {0}";
        Stream<CacheScenario> heuristicallyFresh = Stream.of(200, 203, 204, 404, 405, 410, 414, 501)
                .map(status -> CacheScenario.of("heuristic-" + status + "-cached", "9111 4.2.2")
                        .getWithStatus(status, lastDay)
                        .get("")
                        .hit());
        Stream<CacheScenario> notFresh = Stream.of(201, 202, 403, 502, 503, 504, 599)
                .map(status -> CacheScenario.of("heuristic-" + status + "-not_cached", "9111 4.2.2")
                        .getWithStatus(status, lastDay)
                        .get("")
                        .fetched());
        return Stream.concat(Stream.concat(heuristicallyFresh, notFresh), Stream.of(
                CacheScenario.of("heuristic-599-cached", "9111 5.2.2.9")
                        .getWithStatus(599, lastDay + " | Cache-Control: public")
                        .get("")
                        .hit()));
    }

    private static Stream<CacheScenario> statuses() {
        List<Integer> statuses = List.of(200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503,
                504, 599);
        Stream<CacheScenario> fresh = statuses.stream()
                .map(status -> CacheScenario.of("status-" + status + "-fresh", "9111 3")
                        .getWithStatus(status, "Cache-Control: max-age=100000 | Date: {0}")
                        .fetched()
                        .after(3)
                        .get("")
                        .hit()
                        .respondsWith(status, status == 204 ? "" : "01234567890"));
        Stream<CacheScenario> stale = statuses.stream()
                .map(status -> CacheScenario.of("status-" + status + "-stale", "9111 4.2")
                        .getWithStatus(status, "Expires: {-5000} | Last-Modified: {-100000} | Date: {0}")
                        .fetched()
                        .get("")
                        .fetched());
        String understood = "Cache-Control: max-age=3600, no-store, must-understand";
        return Stream.concat(Stream.concat(fresh, stale), Stream.of(
                CacheScenario.of("status-599-must-understand", "9111 5.2.2.3")
                        .getWithStatus(599, understood)
                        .get("")
                        .fetched(),
                CacheScenario.of("status-200-must-understand", "9111 5.2.2.3")
                        .getWithStatus(200, understood)
                        .get("")
                        .hit()));
    }
}
