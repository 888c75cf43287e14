package dev.corral.edge;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Interim answers reach the request that was sent for them, and nobody else (RFC 9110 section 15.2, RFC 8297). */
@EdgeTest
class InterimTest {

    private static final String HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nKeep-Alive: x\r\n\r\n";

    private final Fleet fleet;

    InterimTest(Fleet fleet) {
        this.fleet = fleet;
    }

    @Test
    void earlyHintsAreRelayedBeforeTheAnswerAndNotStored() throws Exception {
        String path = fleet.path("hints");
        fleet.origin.on(path, exchange -> exchange.raw(HINTS + HINTS
                + "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbody"));

        try (var client = new Client(fleet.a.port())) {
            client.request("GET", path);

            Client.Answer first = client.interim();
            assertThat(first.status()).isEqualTo(103);
            assertThat(first.field("Link")).isEqualTo("</style.css>; rel=preload");
            assertThat(first.fields().has("Keep-Alive")).as("a field of the connection").isFalse();
            assertThat(client.interim().status()).isEqualTo(103);
            assertThat(client.read().text()).isEqualTo("body");
            fleet.a.awaitLanded();

            Client.Answer hit = client.request("GET", path).read();
            assertThat(hit.status()).isEqualTo(200);
            assertThat(hit.hit()).isTrue();
        }
        assertThat(fleet.origin.count(path)).isEqualTo(1);
    }

    @Test
    void aClientOfHttp10HearsOfNone() throws Exception {
        String path = fleet.path("hints");
        fleet.origin.on(path, exchange -> exchange.raw(
                HINTS + "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 4\r\n\r\nbody"));

        try (var client = new Client(fleet.a.port())) {
            client.send("GET " + path + " HTTP/1.0\r\nHost: a\r\n\r\n");

            assertThat(client.interim().status()).isEqualTo(200);
        }
    }

    @Test
    void anAnswerToHeadStaysInStepWithItsHints() throws Exception {
        String path = fleet.path("hints");
        fleet.origin.on(path, exchange -> exchange.raw(
                HINTS + "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nbody"));

        try (var client = new Client(fleet.a.port())) {
            client.request("HEAD", path);

            assertThat(client.interim().status()).isEqualTo(103);
            assertThat(client.read("HEAD").field("Content-Length")).isEqualTo("4");
            assertThat(client.request("GET", path).read("GET").text()).isEqualTo("body");
        }
    }
}
