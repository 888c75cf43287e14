package dev.corral.cache;

import dev.corral.http.CacheControl;
import dev.corral.http.HttpDate;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Compares storability, freshness and age of 2,000 random responses with the results of the npm package http-cache-semantics 4.3.0.
 * Every difference has a reason in a list, and every reason applies at least once.
 */
class HttpCacheSemanticsDifferentialTest {

    private record Comparison(Instant now, RequestHead request, ResponseHead response, boolean storable, boolean fresh,
            double age) {

        static Comparison of(String line) {
            String[] column = line.split("\t", -1);
            return new Comparison(CacheFixtures.secondsLater(Long.parseLong(column[0])),
                    CacheFixtures.getRequest(column[2]),
                    new ResponseHead(Integer.parseInt(column[1]), CacheFixtures.headerFields(column[3])),
                    column[4].equals("1"),
                    column[5].equals("1"), Double.parseDouble(column[6]));
        }

        @Override
        public String toString() {
            return "status " + response.status() + " to " + request.fields().lines() + ": " + response.fields().lines()
                    + "; stored "
                    + corralStores() + "/" + storable + ", served " + corralServes() + "/" + fresh + ", age "
                    + corralAge() + "/"
                    + age;
        }

        Optional<Freshness> freshness() {
            return CacheFixtures.storability(request, response,
                    CachePolicy.DEFAULT) instanceof Storability.Store decision
                            ? Optional.of(decision.freshness())
                            : Optional.empty();
        }

        boolean corralStores() {
            return freshness().isPresent();
        }

        boolean corralServes() {
            return freshness().filter(freshness -> !freshness.noCache() && freshness.isFresh(now)).isPresent();
        }

        double corralAge() {
            return freshness().map(freshness -> freshness.age(now).toMillis() / 1000.0).orElse(age);
        }

        String cacheControl() {
            return response.fields().firstValue("Cache-Control").orElse("");
        }

        boolean cacheControlContains(String pattern) {
            return Pattern.compile(pattern).matcher(cacheControl()).find();
        }

        boolean has(String field) {
            return response.fields().has(field);
        }

        String value(String field) {
            return response.fields().firstValue(field).orElse("");
        }

        boolean hasNoExplicitFreshness() {
            CacheControl cacheControl = CacheControl.of(response.fields());
            return cacheControl.maxAge().isEmpty() && cacheControl.sharedMaxAge().isEmpty() && !has("Expires");
        }

        /** Seconds by which the response's Date precedes its receipt. */
        long dateLagSeconds() {
            return HttpDate.parse(value("Date"), CacheFixtures.NOW)
                    .map(date -> Duration.between(date, CacheFixtures.NOW).toSeconds())
                    .orElse(0L);
        }
    }

    /** Why Corral differs. */
    private record AcceptedDifference(String reason, Predicate<Comparison> appliesTo) {}

    private static final List<AcceptedDifference> STORAGE_DIFFERENCES = List.of(
            new AcceptedDifference("a response with Set-Cookie is not stored",
                    row -> !row.corralStores() && row.has("Set-Cookie")),
            new AcceptedDifference("Vary contains * anywhere",
                    row -> !row.corralStores() && row.value("Vary").contains("*")),
            new AcceptedDifference("directives are case-insensitive",
                    row -> row.cacheControlContains(row.corralStores() ? "Max-Age" : "No-Store|PRIVATE")),
            new AcceptedDifference("an error is stored only with a freshness lifetime",
                    row -> !row.corralStores() && row.response.status() == 501),
            new AcceptedDifference("s-maxage that is zero or invalid does not permit sharing",
                    row -> !row.corralStores() && row.request.hasAuthorization()
                            && row.cacheControlContains("s-maxage=\"?(0|-1|abc|1\\.5|10a|'|60, )")),
            new AcceptedDifference("any final status is stored with explicit freshness",
                    row -> row.corralStores() && Set
                            .of(299, 400, 403, 500, 502, 503, 504, 599)
                            .contains(row.response.status())),
            new AcceptedDifference("must-understand overrides no-store",
                    row -> row.corralStores() && row.cacheControlContains("must-understand")
                            && row.cacheControlContains("[Nn]o-[Ss]tore")),
            new AcceptedDifference("a quoted string is one value",
                    row -> row.cacheControlContains("\"[^\"]*,[^\"]*\"")));

    private static final List<AcceptedDifference> REUSE_DIFFERENCES = List.of(
            new AcceptedDifference("the shorter of two lifetimes applies", row -> !row.corralServes()
                    && row.cacheControlContains("(?i)((?<!s-)max-age.*(?<!s-)max-age|s-maxage.*s-maxage)")),
            new AcceptedDifference("an invalid lifetime is zero", row -> !row.corralServes()
                    && row.cacheControlContains(
                            "(?i)max-?age(=\"?(-1|1\\.5|abc|10a|'60'|60, 120|)\"?\\s*(,|$)|\\s*(,|$))")),
            new AcceptedDifference("immutable states no lifetime",
                    row -> !row.corralServes() && row.cacheControlContains("immutable")),
            new AcceptedDifference("the only time zone is GMT",
                    row -> !row.corralServes() && row.value("Expires").endsWith("UTC")),
            new AcceptedDifference("the format with dashes has a two-digit year",
                    row -> row.corralServes() && row.value("Expires").contains("-Aug-50 ")),
            new AcceptedDifference("heuristic freshness is at most one day",
                    row -> !row.corralServes() && row.hasNoExplicitFreshness() && row.has("Last-Modified")),
            new AcceptedDifference("delta-seconds saturate at 2^31",
                    row -> !row.corralServes() && row.cacheControlContains("99999999999")
                            && row.value("Age").equals("2147483648")),
            new AcceptedDifference("proxy-revalidate applies to stale responses only",
                    row -> row.corralServes() && row.cacheControlContains("proxy-revalidate")),
            new AcceptedDifference("Pragma applies to requests only", row -> row.corralServes() && row.has("Pragma")),
            new AcceptedDifference("directives are case-insensitive",
                    row -> row.corralServes() != row.fresh && row.cacheControlContains("Max-Age=60")));

    private static final List<AcceptedDifference> AGE_DIFFERENCES = List.of(
            new AcceptedDifference("a Date in the past increases the age",
                    row -> row.corralAge() > row.age && row.dateLagSeconds() > 0),
            new AcceptedDifference("a negative Age is ignored",
                    row -> row.corralAge() > row.age && row.value("Age").equals("-5")),
            new AcceptedDifference("a fractional Age is ignored",
                    row -> row.corralAge() < row.age && row.value("Age").equals("1.5")));

    @Test
    void everyDifferenceFromHttpCacheSemanticsHasAReason() throws IOException {
        Set<AcceptedDifference> usedReasons = new HashSet<>();
        var unexplained = new ArrayList<String>();
        List<Comparison> rows = rows();

        for (Comparison row : rows) {
            List<AcceptedDifference> candidates = candidateReasons(row);
            List<AcceptedDifference> reasons = candidates.stream()
                    .filter(difference -> difference.appliesTo.test(row))
                    .toList();
            usedReasons.addAll(reasons);
            if (!candidates.isEmpty() && reasons.isEmpty()) {
                unexplained.add(row.toString());
            }
        }

        assertThat(rows).hasSize(2_000);
        assertThat(unexplained).isEmpty();
        assertThat(usedReasons).hasSize(STORAGE_DIFFERENCES.size() + REUSE_DIFFERENCES.size() + AGE_DIFFERENCES.size());
    }

    /** The reasons that could apply; empty if the results are equal. */
    private static List<AcceptedDifference> candidateReasons(Comparison row) {
        if (row.corralStores() != row.storable) {
            return STORAGE_DIFFERENCES;
        }
        if (!row.storable) {
            return List.of();
        }
        if (Math.abs(row.corralAge() - row.age) >= 0.5) {
            return AGE_DIFFERENCES;
        }
        return row.corralServes() == row.fresh ? List.of() : REUSE_DIFFERENCES;
    }

    private static List<Comparison> rows() throws IOException {
        try (InputStream rows = HttpCacheSemanticsDifferentialTest.class
                .getResourceAsStream("http-cache-semantics.tsv")) {
            return new String(rows.readAllBytes(), StandardCharsets.UTF_8).lines()
                    .filter(line -> !line.startsWith("#"))
                    .map(Comparison::of)
                    .toList();
        }
    }
}
