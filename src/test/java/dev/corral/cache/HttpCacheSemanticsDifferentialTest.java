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
 * Storable, fresh and age of 2,000 random answers, against what the npm package http-cache-semantics 4.3.0 says of them. Each
 * difference has its reason in a list; none of the reasons is idle.
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
            return CacheFixtures.storability(request, response, CachePolicy.DEFAULT) instanceof Storability.Store share
                    ? Optional.of(share.freshness())
                    : Optional.empty();
        }

        boolean corralStores() {
            return freshness().isPresent();
        }

        boolean corralServes() {
            return freshness().filter(terms -> !terms.noCache() && terms.isFresh(now)).isPresent();
        }

        double corralAge() {
            return freshness().map(terms -> terms.age(now).toMillis() / 1000.0).orElse(age);
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
            CacheControl said = CacheControl.of(response.fields());
            return said.maxAge().isEmpty() && said.sharedMaxAge().isEmpty() && !has("Expires");
        }

        /** Seconds that the answer's Date is behind the time it was received. */
        long dateLagSeconds() {
            return HttpDate.parse(value("Date"), CacheFixtures.NOW)
                    .map(date -> Duration.between(date, CacheFixtures.NOW).toSeconds())
                    .orElse(0L);
        }
    }

    /** Why we say otherwise about storing, about serving, about the age. */
    private record AcceptedDifference(String reason, Predicate<Comparison> appliesTo) {}

    private static final List<AcceptedDifference> STORAGE_DIFFERENCES = List.of(
            new AcceptedDifference("Set-Cookie is not shared", row -> !row.corralStores() && row.has("Set-Cookie")),
            new AcceptedDifference("a star anywhere in Vary",
                    row -> !row.corralStores() && row.value("Vary").contains("*")),
            new AcceptedDifference("directives have no case",
                    row -> row.cacheControlContains(row.corralStores() ? "Max-Age" : "No-Store|PRIVATE")),
            new AcceptedDifference("an error is stored only while it is fresh",
                    row -> !row.corralStores() && row.response.status() == 501),
            new AcceptedDifference("an s-maxage of nothing opens nothing",
                    row -> !row.corralStores() && row.request.hasAuthorization()
                            && row.cacheControlContains("s-maxage=\"?(0|-1|abc|1\\.5|10a|'|60, )")),
            new AcceptedDifference("any final status with stated freshness", row -> row.corralStores() && Set
                    .of(299, 400, 403, 500, 502, 503, 504, 599)
                    .contains(row.response.status())),
            new AcceptedDifference("must-understand overrules no-store",
                    row -> row.corralStores() && row.cacheControlContains("must-understand")
                            && row.cacheControlContains("[Nn]o-[Ss]tore")),
            new AcceptedDifference("a quoted string is one value",
                    row -> row.cacheControlContains("\"[^\"]*,[^\"]*\"")));

    private static final List<AcceptedDifference> REUSE_DIFFERENCES = List.of(
            new AcceptedDifference("of two lifetimes the shorter counts", row -> !row.corralServes()
                    && row.cacheControlContains("(?i)((?<!s-)max-age.*(?<!s-)max-age|s-maxage.*s-maxage)")),
            new AcceptedDifference("a lifetime that is no number is zero", row -> !row.corralServes()
                    && row.cacheControlContains(
                            "(?i)max-?age(=\"?(-1|1\\.5|abc|10a|'60'|60, 120|)\"?\\s*(,|$)|\\s*(,|$))")),
            new AcceptedDifference("immutable gives no lifetime",
                    row -> !row.corralServes() && row.cacheControlContains("immutable")),
            new AcceptedDifference("a time zone is GMT",
                    row -> !row.corralServes() && row.value("Expires").endsWith("UTC")),
            new AcceptedDifference("the form with dashes has a year of two digits",
                    row -> row.corralServes() && row.value("Expires").contains("-Aug-50 ")),
            new AcceptedDifference("no assumption over a day",
                    row -> !row.corralServes() && row.hasNoExplicitFreshness() && row.has("Last-Modified")),
            new AcceptedDifference("numbers end at 2^31",
                    row -> !row.corralServes() && row.cacheControlContains("99999999999")
                            && row.value("Age").equals("2147483648")),
            new AcceptedDifference("proxy-revalidate is about stale",
                    row -> row.corralServes() && row.cacheControlContains("proxy-revalidate")),
            new AcceptedDifference("Pragma is for requests", row -> row.corralServes() && row.has("Pragma")),
            new AcceptedDifference("directives have no case",
                    row -> row.corralServes() != row.fresh && row.cacheControlContains("Max-Age=60")));

    private static final List<AcceptedDifference> AGE_DIFFERENCES = List.of(
            new AcceptedDifference("a Date in the past is age",
                    row -> row.corralAge() > row.age && row.dateLagSeconds() > 0),
            new AcceptedDifference("a negative Age is none",
                    row -> row.corralAge() > row.age && row.value("Age").equals("-5")),
            new AcceptedDifference("a fraction is no Age",
                    row -> row.corralAge() < row.age && row.value("Age").equals("1.5")));

    @Test
    void everyDifferenceFromHttpCacheSemanticsHasAReason() throws IOException {
        Set<AcceptedDifference> used = new HashSet<>();
        var unexplained = new ArrayList<String>();
        List<Comparison> rows = rows();

        for (Comparison row : rows) {
            List<AcceptedDifference> list = candidateReasons(row);
            List<AcceptedDifference> reasons = list.stream().filter(each -> each.appliesTo.test(row)).toList();
            used.addAll(reasons);
            if (!list.isEmpty() && reasons.isEmpty()) {
                unexplained.add(row.toString());
            }
        }

        assertThat(rows).hasSize(2_000);
        assertThat(unexplained).isEmpty();
        assertThat(used).hasSize(STORAGE_DIFFERENCES.size() + REUSE_DIFFERENCES.size() + AGE_DIFFERENCES.size());
    }

    /** The reasons there could be; none when we say the same. */
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
        try (InputStream answers = HttpCacheSemanticsDifferentialTest.class
                .getResourceAsStream("http-cache-semantics.tsv")) {
            return new String(answers.readAllBytes(), StandardCharsets.UTF_8).lines()
                    .filter(line -> !line.startsWith("#"))
                    .map(Comparison::of)
                    .toList();
        }
    }
}
