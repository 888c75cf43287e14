package dev.corral.proxy;

import dev.corral.http.Body;
import dev.corral.memory.ByteBudget;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;

/** What responses have taken is given back, however they end. */
@ProxyTest
class ResponseMemoryTest {

    private static final String LONG_BODY = "0123456789".repeat(150_000);

    private final FleetUnderTest fleet;

    ResponseMemoryTest(FleetUnderTest fleet) {
        this.fleet = fleet;
    }

    private void assertMemoryIsReleased() {
        for (ReplicaUnderTest replica : fleet.replicas()) {
            ReplicaUnderTest.eventually(() -> replica.context().getBean(ResponseMemory.class).usedBytes() == 0);
        }
    }

    @Test
    void fillAndItsHitsReleaseTheirMemory() throws IOException {
        String path = fleet.uniquePath("filled");
        fleet.origin.on(path, 200, LONG_BODY, "Cache-Control", "max-age=600", "Vary", "Accept-Language");
        for (String language : List.of("en", "de", "en", "de")) {
            for (ReplicaUnderTest replica : fleet.replicas()) {
                assertThat(replica.get(path, "Accept-Language", language).text()).isEqualTo(LONG_BODY);
            }
        }
        assertMemoryIsReleased();
    }

    @Test
    void privateTruncatedOrOversizedResponseReleasesItsMemory() throws IOException {
        String path = fleet.uniquePath("private");
        fleet.origin.on(path, 200, LONG_BODY, "Cache-Control", "private");
        fleet.a.get(path);
        String large = fleet.uniquePath("small", "large");
        fleet.origin.on(large, 200, LONG_BODY, "Cache-Control", "max-age=600");
        fleet.a.get(large);
        fleet.b.get(large);
        String broken = fleet.uniquePath("broken");
        fleet.origin.on(broken, exchange -> {
            exchange.writeRaw(
                    OriginStub.StubExchange.formatHead(200, "Cache-Control", "max-age=600", "Content-Length", "1000000")
                            + "\r\n" + LONG_BODY.substring(0, 500_000));
            exchange.close();
        });
        assertThat(fleet.a.get(broken).status()).isEqualTo(502);
        assertMemoryIsReleased();
    }

    @Test
    void disconnectedClientsReleaseTheirMemory() throws IOException {
        String path = fleet.uniquePath("left");
        fleet.origin.on(path, 200, LONG_BODY, "Cache-Control", "max-age=600");
        fleet.a.getAndStore(path);
        for (int i = 0; i < 20; i++) {
            try (var client = new HttpProbe(fleet.a.port(), 1024)) {
                client.request("GET", path).readUntil("\r\n\r\n");
            }
        }
        assertMemoryIsReleased();
    }

    @Test
    void bodyIsCountedOnceForAllReaders() {
        var unread = new ByteBudget(1_000);
        var memory = new ResponseMemory(new ByteBudget(Long.MAX_VALUE), unread, new ByteBudget(30));
        Body body = Body.of(new byte[600]);

        Runnable first = memory.tryReserveBody(body, 10).orElseThrow();
        Runnable second = memory.tryReserveBody(body, 10).orElseThrow();
        assertThat(unread.usedBytes()).isEqualTo(600);
        assertThat(memory.tryReserveBody(Body.of(new byte[600]), 10)).as("an equal one is another").isEmpty();
        Runnable small = memory.tryReserveBody(Body.of(new byte[400]), 10).orElseThrow();
        assertThat(memory.tryReserveBody(body, 10)).as("no buffer is left").isEmpty();

        List.of(first, second, small).forEach(Runnable::run);
        assertThat(memory.usedBytes()).isZero();
    }

    /** Those who are refused at the same moment leave nothing behind that counts for the others. */
    @Test
    void concurrentlyRejectedBodiesAreNotCounted() {
        var unread = new ByteBudget(1_000);
        var memory = new ResponseMemory(new ByteBudget(Long.MAX_VALUE), unread, new ByteBudget(Long.MAX_VALUE));
        Runnable large = memory.tryReserveBody(Body.of(new byte[900]), 1).orElseThrow();
        Body body = Body.of(new byte[200]);

        List<Boolean> admitted = Flux.range(0, 200_000)
                .parallel(8)
                .runOn(Schedulers.boundedElastic())
                .map(i -> {
                    Optional<Runnable> done = memory.tryReserveBody(body, 1);
                    done.ifPresent(Runnable::run);
                    return done.isPresent();
                })
                .sequential()
                .collectList()
                .blockOptional()
                .orElseThrow();

        assertThat(admitted).containsOnly(false);
        assertThat(unread.usedBytes()).isEqualTo(900);
        large.run();
        assertThat(memory.usedBytes()).isZero();
    }
}
