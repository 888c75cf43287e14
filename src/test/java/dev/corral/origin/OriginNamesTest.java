package dev.corral.origin;

import dev.corral.origin.OriginFailed.Reason;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.opentest4j.TestAbortedException;
import reactor.core.scheduler.Schedulers;

import static dev.corral.origin.Rig.get;
import static dev.corral.origin.Rig.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/** Which address a request goes to: the one the name means now, and one that can be reached. */
@Timeout(60)
@ExtendWith(LeakFree.class)
class OriginNamesTest {

    private static final String NAME = "shop.example";

    @TempDir
    private Path directory;

    private static InetAddress address(String literal) throws IOException {
        return InetAddress.getByName(literal);
    }

    private static ScriptedOrigin at(String address, int port, String body) throws IOException {
        try {
            return new ScriptedOrigin(address(address), port, peer -> {
                while (!peer.request().isEmpty()) {
                    peer.say("HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n\r\n" + body);
                }
            });
        } catch (UncheckedIOException none) {
            if (none.getCause() instanceof BindException || none.getCause() instanceof SocketException) {
                throw new TestAbortedException("this machine has no address " + address, none);
            }
            throw none;
        }
    }

    private static Upstream shop(int port) {
        return Rig.upstream(URI.create("http://" + NAME + ":" + port));
    }

    private static Rig to(Upstream upstream, TestDns dns) {
        // No name is in it, and it is not the system's: a machine may know these names.
        return Rig.to(upstream, new OriginNames(new HostsFile(Optional.empty(), Schedulers.boundedElastic()),
                Optional.of(dns.provider())));
    }

    private static void awaitText(Rig rig, String expected) {
        await().atMost(Duration.ofSeconds(30)).until(() -> text(rig.whole(get("/"))).equals(expected));
    }

    /** Both live: it is not a failure that makes it follow. */
    @Test
    void aNameThatMovesInDnsIsFollowedWithinItsTtlAndTheLifeOfAConnection() throws Exception {
        try (var blue = at("127.0.0.1", 0, "blue");
                var green = at("127.0.0.2", blue.port(), "green");
                var dns = new TestDns(1).name(NAME, address("127.0.0.1"));
                var rig = to(Rig.connectionMaxLife(shop(blue.port()), Duration.ofSeconds(1)), dns)) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("blue");

            dns.name(NAME, address("127.0.0.2"));
            awaitText(rig, "green");

            int asked = blue.requests().size();
            for (int i = 0; i < 50; i++) {
                assertThat(text(rig.whole(get("/")))).isEqualTo("green");
            }
            assertThat(blue.requests()).hasSize(asked);
            assertThat(green.connections()).isPositive();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aNameThatMovesInTheHostsFileIsFollowed(boolean replaced) throws Exception {
        Path file = directory.resolve("hosts");
        Files.writeString(file, "127.0.0.1 " + NAME + "\n");
        try (var blue = at("127.0.0.1", 0, "blue");
                var green = at("127.0.0.2", blue.port(), "green");
                var rig = Rig.to(Rig.connectionMaxLife(shop(blue.port()), Duration.ofSeconds(1)),
                        names(file.toFile()))) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("blue");

            if (replaced) {
                Path next = directory.resolve("next");
                Files.writeString(next, "127.0.0.2 " + NAME + "\n");
                Files.move(next, file, StandardCopyOption.REPLACE_EXISTING);
            } else {
                Files.writeString(file, "127.0.0.2 " + NAME + "\n");
            }

            awaitText(rig, "green");
            assertThat(green.connections()).isPositive();
        }
    }

    private static OriginNames names(File hosts) {
        return new OriginNames(new HostsFile(Optional.of(hosts), Schedulers.boundedElastic()), Optional.empty());
    }

    /** As in the JDK: what is not in the file that jdk.net.hosts.file names does not exist. */
    @Test
    void aNameThatIsNotInTheNamedHostsFileCannotBeReached() throws Exception {
        Path file = directory.resolve("hosts");
        Files.writeString(file, "127.0.0.1 elsewhere.example\n");
        try (var rig = Rig.to(shop(80), names(file.toFile()))) {
            assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOfSatisfying(OriginFailed.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));
        }
    }

    @Test
    void aNameThatComesToBeIsFoundWithinSeconds() throws Exception {
        try (var blue = at("127.0.0.1", 0, "blue"); var dns = new TestDns(60); var rig = to(shop(blue.port()), dns)) {
            assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOfSatisfying(OriginFailed.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));

            dns.name(NAME, address("127.0.0.1"));

            await().atMost(Duration.ofSeconds(15))
                    .ignoreException(OriginFailed.class)
                    .until(() -> text(rig.whole(get("/"))).equals("blue"));
        }
    }

    @Test
    void dnsIsNotAskedAgainWithinTheTtl() throws Exception {
        try (var server = new ScriptedOrigin(address("127.0.0.1"), 0, peer -> {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }); var dns = new TestDns(60).name(NAME, address("127.0.0.1")); var rig = to(shop(server.port()), dns)) {
            rig.whole(get("/"));
            int queries = dns.queries();
            for (int i = 0; i < 20; i++) {
                rig.whole(get("/"));
            }
            assertThat(server.connections()).isEqualTo(21);
            assertThat(dns.queries()).isEqualTo(queries);
        }
    }

    @Test
    void whileDnsDoesNotReplyTheLastAddressesServe() throws Exception {
        try (var server = new ScriptedOrigin(address("127.0.0.1"), 0, peer -> {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }); var dns = new TestDns(1).name(NAME, address("127.0.0.1")); var rig = to(shop(server.port()), dns)) {
            rig.whole(get("/"));
            int queries = dns.queries();
            dns.fallSilent();

            await().atMost(Duration.ofSeconds(30)).until(() -> {
                assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
                return dns.queries() > queries + 1;
            });
        }
    }

    // Several addresses.

    @Test
    void anAddressThatRefusesIsPassedOver() throws Exception {
        try (var live = at("127.0.0.2", 0, "live");
                var dns = new TestDns(60).name(NAME, address("127.0.0.1"), address("127.0.0.2"));
                var rig = to(shop(live.port()), dns)) {
            for (int i = 0; i < 20; i++) {
                assertThat(text(rig.whole(get("/")))).isEqualTo("live");
            }
            assertThat(rig.failures()).isZero();
        }
    }

    /** A full queue of connections that nobody accepts: what else wants to connect is dropped in silence. */
    @Test
    void anAddressThatSaysNothingIsPassedOverAndNotTriedFirstAgain() throws Exception {
        var crowd = new ArrayList<Socket>();
        try (var hole = new ServerSocket(0, 1, address("127.0.0.1"));
                var live = new ScriptedOrigin(address("127.0.0.2"), hole.getLocalPort(), peer -> {
                    peer.request();
                    peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                });
                var dns = new TestDns(60).name(NAME, address("127.0.0.1"), address("127.0.0.2"));
                var rig = to(shop(live.port()), dns)) {
            while (knock(hole, crowd)) {
                // One more.
            }
            long start = System.nanoTime();
            // One of these waits for the silent address, 1 s; if each did, it would be 20 s.
            for (int i = 0; i < 20; i++) {
                assertThat(text(rig.whole(get("/")))).isEqualTo("ok");
            }
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(10));
            assertThat(rig.failures()).isZero();
        } finally {
            for (Socket socket : crowd) {
                socket.close();
            }
        }
    }

    private static boolean knock(ServerSocket server, List<Socket> crowd) throws IOException {
        var socket = new Socket();
        crowd.add(socket);
        try {
            socket.connect(new InetSocketAddress(server.getInetAddress(), server.getLocalPort()), 200);
            return true;
        } catch (SocketTimeoutException full) {
            return false;
        }
    }

    @Test
    void anIpv6AddressServesWhereTheIpv4AddressIsDead() throws Exception {
        try (var live = at("::1", 0, "six");
                var dns = new TestDns(60).name(NAME, address("127.0.0.1"), address("::1"));
                var rig = to(shop(live.port()), dns)) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("six");
        }
    }

    @Test
    void aNameWithIpv6AddressesOnlyIsReached() throws Exception {
        try (var live = at("::1", 0, "six");
                var dns = new TestDns(60).name(NAME, address("::1"));
                var rig = to(shop(live.port()), dns)) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("six");
        }
    }

    // Names that every machine has.

    @Test
    void localhostIsFound() throws Exception {
        try (var live = at("127.0.0.1", 0, "here"); var rig = Rig.to(URI.create("http://localhost:" + live.port()))) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("here");
        }
    }
}
