package dev.corral.edge;

import dev.corral.coalesce.ByteBudget;
import dev.corral.http.Body;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.scheduler.Schedulers;

import static org.assertj.core.api.Assertions.assertThat;

/** What responses have taken is given back, however they end. */
@EdgeTest
class MemoryTest {

    private static final String LONG = "0123456789".repeat(150_000);

    private final Fleet fleet;

    MemoryTest(Fleet fleet) {
        this.fleet = fleet;
    }

    private void assertAllIsGivenBack() {
        for (Replica replica : fleet.replicas()) {
            Replica.until(() -> replica.context().getBean(Memory.class).used() == 0);
        }
    }

    @Test
    void aFillAndItsHitsGiveBackAll() throws IOException {
        String path = fleet.path("filled");
        fleet.origin.on(path, 200, LONG, "Cache-Control", "max-age=600", "Vary", "Accept-Language");
        for (String language : List.of("en", "de", "en", "de")) {
            for (Replica replica : fleet.replicas()) {
                assertThat(replica.get(path, "Accept-Language", language).text()).isEqualTo(LONG);
            }
        }
        assertAllIsGivenBack();
    }

    @Test
    void whatIsNotSharedOrBreaksOffOrIsTooLargeGivesBackAll() throws IOException {
        String path = fleet.path("private");
        fleet.origin.on(path, 200, LONG, "Cache-Control", "private");
        fleet.a.get(path);
        String large = fleet.path("small", "large");
        fleet.origin.on(large, 200, LONG, "Cache-Control", "max-age=600");
        fleet.a.get(large);
        fleet.b.get(large);
        String broken = fleet.path("broken");
        fleet.origin.on(broken, exchange -> {
            exchange.raw(StubOrigin.Exchange.head(200, "Cache-Control", "max-age=600", "Content-Length", "1000000")
                    + "\r\n" + LONG.substring(0, 500_000));
            exchange.close();
        });
        assertThat(fleet.a.get(broken).status()).isEqualTo(502);
        assertAllIsGivenBack();
    }

    @Test
    void clientsThatLeaveGiveBackAll() throws IOException {
        String path = fleet.path("left");
        fleet.origin.on(path, 200, LONG, "Cache-Control", "max-age=600");
        fleet.a.store(path);
        for (int i = 0; i < 20; i++) {
            try (var client = new Client(fleet.a.port(), 1024)) {
                client.request("GET", path).until("\r\n\r\n");
            }
        }
        assertAllIsGivenBack();
    }

    @Test
    void aBodyIsCountedOnceForAllWhoReadIt() {
        var unread = new ByteBudget(1_000);
        var memory = new Memory(ByteBudget.unlimited(), unread, new ByteBudget(30));
        Body body = Body.of(new byte[600]);

        Runnable first = memory.unread(body, 10).orElseThrow();
        Runnable second = memory.unread(body, 10).orElseThrow();
        assertThat(unread.used()).isEqualTo(600);
        assertThat(memory.unread(Body.of(new byte[600]), 10)).as("an equal one is another").isEmpty();
        Runnable small = memory.unread(Body.of(new byte[400]), 10).orElseThrow();
        assertThat(memory.unread(body, 10)).as("no buffer is left").isEmpty();

        List.of(first, second, small).forEach(Runnable::run);
        assertThat(memory.used()).isZero();
    }

    /** Those who are refused at the same moment leave nothing behind that counts for the others. */
    @Test
    void whatIsRefusedToManyAtOnceIsNotCounted() {
        var unread = new ByteBudget(1_000);
        var memory = new Memory(ByteBudget.unlimited(), unread, ByteBudget.unlimited());
        Runnable large = memory.unread(Body.of(new byte[900]), 1).orElseThrow();
        Body body = Body.of(new byte[200]);

        List<Boolean> admitted = Flux.range(0, 200_000)
                .parallel(8)
                .runOn(Schedulers.boundedElastic())
                .map(i -> {
                    Optional<Runnable> done = memory.unread(body, 1);
                    done.ifPresent(Runnable::run);
                    return done.isPresent();
                })
                .sequential()
                .collectList()
                .blockOptional()
                .orElseThrow();

        assertThat(admitted).containsOnly(false);
        assertThat(unread.used()).isEqualTo(900);
        large.run();
        assertThat(memory.used()).isZero();
    }
}
