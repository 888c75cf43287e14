package dev.corral.proxy;

import java.io.IOException;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** A connection goes on being read, whenever its requests come. */
@ProxyTest
class KeepAliveTest {

    private final FleetUnderTest fleet;

    KeepAliveTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    /** The second request waits for the first, is then answered at once, and is not the last (reactor-netty issue 4361). */
    @Test
    void requestAfterAPipelinedOneIsRead() throws IOException {
        String slow = fleet.uniquePath("slow");
        fleet.origin.on(slow, 200, "slow", "Cache-Control", "no-store");
        String second = "GET /nowhere HTTP/1.1\r\nHost: client.example\r\n\r\n";
        try (HttpProbe client = fleet.a.connect()) {
            client.send("GET " + slow + " HTTP/1.1\r\nHost: client.example\r\n\r\n" + second);
            assertThat(client.read().text()).isEqualTo("slow");
            assertThat(client.read().reason()).isEqualTo("no-route");

            assertThat(client.send(second).read().reason()).isEqualTo("no-route");
        }
    }
}
