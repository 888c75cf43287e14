package dev.corral.http;

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
class DifferentialTest {

    private record Row(Instant now, Asked asked, Head head, boolean storable, boolean fresh, double age) {

        static Row of(String line) {
            String[] column = line.split("\t", -1);
            return new Row(Given.in(Long.parseLong(column[0])), Given.get(column[2]),
                    new Head(Integer.parseInt(column[1]), Given.fields(column[3])), column[4].equals("1"),
                    column[5].equals("1"), Double.parseDouble(column[6]));
        }

        @Override
        public String toString() {
            return "status " + head.status() + " to " + asked.fields().lines() + ": " + head.fields().lines()
                    + "; stored "
                    + weStore() + "/" + storable + ", served " + weServe() + "/" + fresh + ", age " + ourAge() + "/"
                    + age;
        }

        Optional<Terms> terms() {
            return Given.storing(asked, head, Policy.DEFAULT) instanceof Storing.Share share
                    ? Optional.of(share.terms())
                    : Optional.empty();
        }

        boolean weStore() {
            return terms().isPresent();
        }

        boolean weServe() {
            return terms().filter(terms -> !terms.noCache() && terms.fresh(now)).isPresent();
        }

        double ourAge() {
            return terms().map(terms -> terms.age(now).toMillis() / 1000.0).orElse(age);
        }

        String cacheControl() {
            return head.fields().first("Cache-Control").orElse("");
        }

        boolean says(String pattern) {
            return Pattern.compile(pattern).matcher(cacheControl()).find();
        }

        boolean has(String field) {
            return head.fields().has(field);
        }

        String value(String field) {
            return head.fields().first(field).orElse("");
        }

        boolean unstated() {
            CacheControl said = CacheControl.of(head.fields());
            return said.maxAge().isEmpty() && said.sharedMaxAge().isEmpty() && !has("Expires");
        }

        /** Seconds that the answer's Date is behind the time it was received. */
        long behind() {
            return HttpDate.parse(value("Date"), Given.NOW)
                    .map(date -> Duration.between(date, Given.NOW).toSeconds())
                    .orElse(0L);
        }
    }

    /** Why we say otherwise about storing, about serving, about the age. */
    private record Because(String reason, Predicate<Row> holds) {}

    private static final List<Because> STORED = List.of(
            new Because("Set-Cookie is not shared", row -> !row.weStore() && row.has("Set-Cookie")),
            new Because("a star anywhere in Vary", row -> !row.weStore() && row.value("Vary").contains("*")),
            new Because("directives have no case", row -> row.says(row.weStore() ? "Max-Age" : "No-Store|PRIVATE")),
            new Because("an error is stored only while it is fresh", row -> !row.weStore() && row.head.status() == 501),
            new Because("an s-maxage of nothing opens nothing", row -> !row.weStore() && row.asked.authorized()
                    && row.says("s-maxage=\"?(0|-1|abc|1\\.5|10a|'|60, )")),
            new Because("any final status with stated freshness", row -> row.weStore() && Set
                    .of(299, 400, 403, 500, 502, 503, 504, 599)
                    .contains(row.head.status())),
            new Because("must-understand overrules no-store",
                    row -> row.weStore() && row.says("must-understand") && row.says("[Nn]o-[Ss]tore")),
            new Because("a quoted string is one value", row -> row.says("\"[^\"]*,[^\"]*\"")));

    private static final List<Because> SERVED = List.of(
            new Because("of two lifetimes the shorter counts", row -> !row.weServe()
                    && row.says("(?i)((?<!s-)max-age.*(?<!s-)max-age|s-maxage.*s-maxage)")),
            new Because("a lifetime that is no number is zero", row -> !row.weServe()
                    && row.says("(?i)max-?age(=\"?(-1|1\\.5|abc|10a|'60'|60, 120|)\"?\\s*(,|$)|\\s*(,|$))")),
            new Because("immutable gives no lifetime", row -> !row.weServe() && row.says("immutable")),
            new Because("a time zone is GMT", row -> !row.weServe() && row.value("Expires").endsWith("UTC")),
            new Because("the form with dashes has a year of two digits",
                    row -> row.weServe() && row.value("Expires").contains("-Aug-50 ")),
            new Because("no assumption over a day",
                    row -> !row.weServe() && row.unstated() && row.has("Last-Modified")),
            new Because("numbers end at 2^31",
                    row -> !row.weServe() && row.says("99999999999") && row.value("Age").equals("2147483648")),
            new Because("proxy-revalidate is about stale", row -> row.weServe() && row.says("proxy-revalidate")),
            new Because("Pragma is for requests", row -> row.weServe() && row.has("Pragma")),
            new Because("directives have no case", row -> row.weServe() != row.fresh && row.says("Max-Age=60")));

    private static final List<Because> AGED = List.of(
            new Because("a Date in the past is age", row -> row.ourAge() > row.age && row.behind() > 0),
            new Because("a negative Age is none", row -> row.ourAge() > row.age && row.value("Age").equals("-5")),
            new Because("a fraction is no Age", row -> row.ourAge() < row.age && row.value("Age").equals("1.5")));

    @Test
    void eachDifferenceHasItsReason() throws IOException {
        Set<Because> used = new HashSet<>();
        var unexplained = new ArrayList<String>();
        List<Row> rows = rows();

        for (Row row : rows) {
            List<Because> list = differs(row);
            List<Because> reasons = list.stream().filter(each -> each.holds.test(row)).toList();
            used.addAll(reasons);
            if (!list.isEmpty() && reasons.isEmpty()) {
                unexplained.add(row.toString());
            }
        }

        assertThat(rows).hasSize(2_000);
        assertThat(unexplained).isEmpty();
        assertThat(used).hasSize(STORED.size() + SERVED.size() + AGED.size());
    }

    /** The reasons there could be; none when we say the same. */
    private static List<Because> differs(Row row) {
        if (row.weStore() != row.storable) {
            return STORED;
        }
        if (!row.storable) {
            return List.of();
        }
        if (Math.abs(row.ourAge() - row.age) >= 0.5) {
            return AGED;
        }
        return row.weServe() == row.fresh ? List.of() : SERVED;
    }

    private static List<Row> rows() throws IOException {
        try (InputStream answers = DifferentialTest.class.getResourceAsStream("http-cache-semantics.tsv")) {
            return new String(answers.readAllBytes(), StandardCharsets.UTF_8).lines()
                    .filter(line -> !line.startsWith("#"))
                    .map(Row::of)
                    .toList();
        }
    }
}
