package dev.corral.proxy;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Interim answers reach the request that was sent for them, and nobody else (RFC 9110 section 15.2, RFC 8297). */
@ProxyTest
class InterimResponseTest {

    private static final String EARLY_HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nKeep-Alive: x\r\n\r\n";

    private final FleetUnderTest fleet;

    InterimResponseTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    @Test
    void earlyHintsAreRelayedBeforeTheResponseAndNotStored() throws Exception {
        String path = fleet.uniquePath("hints");
        fleet.origin.on(path, exchange -> exchange.writeRaw(EARLY_HINTS + EARLY_HINTS
                + "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbody"));

        try (var client = new HttpProbe(fleet.a.port())) {
            client.request("GET", path);

            HttpProbe.ProbeResponse first = client.readInterim();
            assertThat(first.status()).isEqualTo(103);
            assertThat(first.field("Link")).isEqualTo("</style.css>; rel=preload");
            assertThat(first.fields().has("Keep-Alive")).as("a field of the connection").isFalse();
            assertThat(client.readInterim().status()).isEqualTo(103);
            assertThat(client.read().text()).isEqualTo("body");
            fleet.a.awaitNoFlights();

            HttpProbe.ProbeResponse hit = client.request("GET", path).read();
            assertThat(hit.status()).isEqualTo(200);
            assertThat(hit.isHit()).isTrue();
        }
        assertThat(fleet.origin.requestCount(path)).isEqualTo(1);
    }

    @Test
    void http10ClientGetsNoInterimResponse() throws Exception {
        String path = fleet.uniquePath("hints");
        fleet.origin.on(path, exchange -> exchange.writeRaw(
                EARLY_HINTS + "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 4\r\n\r\nbody"));

        try (var client = new HttpProbe(fleet.a.port())) {
            client.send("GET " + path + " HTTP/1.0\r\nHost: a\r\n\r\n");

            assertThat(client.readInterim().status()).isEqualTo(200);
        }
    }

    @Test
    void headResponseFollowsItsEarlyHints() throws Exception {
        String path = fleet.uniquePath("hints");
        fleet.origin.on(path, exchange -> exchange.writeRaw(
                EARLY_HINTS + "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbody"));

        try (var client = new HttpProbe(fleet.a.port())) {
            client.request("HEAD", path);

            assertThat(client.readInterim().status()).isEqualTo(103);
            assertThat(client.read("HEAD").field("Content-Length")).isEqualTo("4");
            assertThat(client.request("GET", path).read("GET").text()).isEqualTo("body");
        }
    }
}
