package dev.corral.http;

import dev.corral.cache.CacheFixtures;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

class HttpDateTest {

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
            "Sun, 06 Nov 1994 08:49:37 GMT     | 1994-11-06T08:49:37Z",
            "Sunday, 06-Nov-94 08:49:37 GMT    | 1994-11-06T08:49:37Z",
            "Sun Nov  6 08:49:37 1994          | 1994-11-06T08:49:37Z",
            "Sun Nov 06 08:49:37 1994          | 1994-11-06T08:49:37Z",
            "Sun Nov 16 08:49:37 1994          | 1994-11-16T08:49:37Z",
            "sUN, 06 nOV 1994 08:49:37 gmt     | 1994-11-06T08:49:37Z",
            "Mon, 06 Nov 1994 08:49:37 GMT     | 1994-11-06T08:49:37Z",
            "Sat, 31 Dec 2016 23:59:60 GMT     | 2017-01-01T00:00:00Z",
            "Tue, 29 Feb 2028 00:00:00 GMT     | 2028-02-29T00:00:00Z",
            "Sun, 21 Nov 2286 04:46:39 GMT     | 2286-11-21T04:46:39Z",
            "Thursday, 18-Aug-50 02:01:18 GMT  | 2050-08-18T02:01:18Z",
            "Monday, 18-Aug-76 02:01:18 GMT    | 2076-08-18T02:01:18Z",
            "Wednesday, 18-Aug-77 02:01:18 GMT | 1977-08-18T02:01:18Z",
            "Friday, 18-Aug-00 02:01:18 GMT    | 2000-08-18T02:01:18Z",
    })
    void allThreeDateFormatsAreParsed(String text, Instant instant) {
        assertThat(HttpDate.parse(text, CacheFixtures.NOW)).contains(instant);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "0", "-1", "now", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT", "Sun 06 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
            "Sun, 06  Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 31 Apr 1994 08:49:37 GMT", "Tue, 29 Feb 2027 00:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Xyz 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT x", "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 GMT", "Sun, 06 Nov 1994 08:49:37 GMT, 0",
            "Sun, 06 Nov \u0661994 08:49:37 GMT", "Sund, 06-Nov-94 08:49:37 GMT", ",,,", "Sun, ", "Sunday, "})
    void invalidDateIsRejected(String text) {
        assertThat(HttpDate.parse(text, CacheFixtures.NOW)).isEmpty();
    }

    @Test
    void dateIsFormattedAsImfFixdate() {
        assertThat(HttpDate.format(Instant.parse("1994-11-06T08:49:37.9Z"))).isEqualTo("Sun, 06 Nov 1994 08:49:37 GMT");
        assertThat(HttpDate.parse(HttpDate.format(CacheFixtures.NOW), CacheFixtures.NOW)).contains(CacheFixtures.NOW);
        assertThat(HttpDate.format(Instant.MAX)).isEqualTo("Fri, 31 Dec 9999 23:59:59 GMT");
        assertThat(HttpDate.format(Instant.MIN)).isEqualTo("Mon, 01 Jan 0001 00:00:00 GMT");
    }
}
