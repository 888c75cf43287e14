package dev.corral.proxy;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** A response to a question that was not asked is malformed: once, for all who wait. */
@ProxyTest
class UnsolicitedStatusTest {

    private final FleetUnderTest fleet;

    UnsolicitedStatusTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @ParameterizedTest
    @ValueSource(ints = {206, 304, 412, 416, 417})
    void unsolicitedStatusIsMalformedOnceForAllWaiters(int status) throws Exception {
        String path = fleet.uniquePath("unasked");
        var hold = new CountDownLatch(1);
        fleet.origin.on(path, exchange -> {
            hold.await();
            exchange.respond(status, status == 304 ? "" : "x", "ETag", "\"x\"", "Cache-Control", "max-age=60");
        });

        List<Future<HttpProbe.ProbeResponse>> near = HttpProbe.concurrently(3,
                () -> fleet.a.get(path, "If-None-Match", "\"other\""));
        fleet.a.awaitWaiters(3);
        List<Future<HttpProbe.ProbeResponse>> far = HttpProbe.concurrently(3,
                () -> fleet.b.get(path, "Range", "bytes=0-0"));
        fleet.b.awaitWaiters(3);
        fleet.awaitFollower();
        hold.countDown();

        for (HttpProbe.ProbeResponse answer : HttpProbe.joinAll(near)) {
            assertThat(answer.status()).isEqualTo(502);
            assertThat(answer.reason()).isEqualTo("origin-malformed");
        }
        assertThat(HttpProbe.joinAll(far)).extracting(HttpProbe.ProbeResponse::reason).containsOnly("origin-malformed");
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
        fleet.origin.on(path, 200, "well", "Cache-Control", "max-age=60");
        assertThat(fleet.a.get(path).text()).isEqualTo("well");
    }

    /** What a client asks for in its own words is an answer to them. */
    @ParameterizedTest
    @CsvSource({"GET,304,If-None-Match,'\"x\"'", "GET,304,If-Modified-Since,'Mon, 02 Mar 2020 10:00:00 GMT'",
            "GET,206,Range,bytes=0-0", "GET,416,Range,bytes=9-", "GET,412,If-Match,'\"y\"'",
            "HEAD,304,If-None-Match,'\"x\"'",
            "POST,412,If-Match,'\"y\"'", "POST,412,X,y", "POST,416,Content-Range,bytes 5-9/10", "POST,417,X,y"})
    void conditionalStatusThatTheClientRequestedIsPassedOn(String method, int status, String name, String value)
            throws IOException {
        String path = fleet.uniquePath("asked");
        fleet.origin.on(path, 200, "private", "Cache-Control", "private");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, status, "", "ETag", "\"x\"", "Cache-Control", "private");

        assertThat(fleet.a.request(method, path, name, value).status()).isEqualTo(status);
    }

    /** Also where the client is passed on: a browser would keep what it must not. */
    @Test
    void unsolicitedStatusIsNotPassedOn() throws IOException {
        String path = fleet.uniquePath("not-asked");
        fleet.origin.on(path, 304, "", "ETag", "\"x\"");

        assertThat(fleet.a.request("POST", path).status()).isEqualTo(502);
        assertThat(fleet.a.get(path, "If-Match", "\"x\"").status()).isEqualTo(502);
    }

    /** A 304 to the validation of what is stored is what was asked for; one that is about another body is not. */
    @Test
    void notModifiedOfAnotherResponseIsMalformed() throws IOException {
        String path = fleet.uniquePath("validated");
        fleet.origin.on(path, 200, "old", "Cache-Control", "max-age=0", "ETag", "\"1\"");
        fleet.a.getAndStore(path);
        fleet.origin.on(path, 304, "", "Cache-Control", "max-age=0", "ETag", "\"1\"");
        assertThat(fleet.a.getAndStore(path).text()).isEqualTo("old");

        fleet.origin.on(path, 304, "", "Cache-Control", "max-age=0", "ETag", "\"2\"");

        HttpProbe.ProbeResponse standIn = fleet.a.get(path);
        assertThat(standIn.text()).isEqualTo("old");
        assertThat(standIn.cacheStatus()).contains("detail=origin-malformed");
        assertThat(fleet.origin.lastRequest(path).fields().has("If-None-Match")).as("unconditional at the second try")
                .isFalse();
    }
}
