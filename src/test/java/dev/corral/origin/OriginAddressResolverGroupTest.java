package dev.corral.origin;

import dev.corral.origin.OriginFailedException.Reason;
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

import static dev.corral.origin.OriginFixture.getRequest;
import static dev.corral.origin.OriginFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

/** Requests go to an address that the name currently resolves to and that is reachable. */
@Timeout(60)
@ExtendWith(LeakGuard.class)
class OriginAddressResolverGroupTest {

    private static final String NAME = "shop.example";

    @TempDir
    private Path directory;

    private static InetAddress address(String literal) throws IOException {
        return InetAddress.getByName(literal);
    }

    private static ScriptedOrigin originAt(String address, int port, String body) throws IOException {
        try {
            return new ScriptedOrigin(address(address), port, peer -> {
                while (!peer.readRequest().isEmpty()) {
                    peer.write("HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n\r\n" + body);
                }
            });
        } catch (UncheckedIOException e) {
            if (e.getCause() instanceof BindException || e.getCause() instanceof SocketException) {
                throw new TestAbortedException("this machine has no address " + address, e);
            }
            throw e;
        }
    }

    private static OriginConfig configForPort(int port) {
        return OriginFixture.config(URI.create("http://" + NAME + ":" + port));
    }

    private static OriginFixture fixtureUsing(OriginConfig upstream, DnsStub dns) {
        // An empty hosts file instead of the system's, which may contain these names.
        return OriginFixture.forOrigin(upstream,
                new OriginAddressResolverGroup(new HostsFile(Optional.empty(), Schedulers.boundedElastic()),
                        Optional.of(dns.addressStreamProvider())));
    }

    private static void awaitText(OriginFixture fixture, String expected) {
        await().atMost(Duration.ofSeconds(30))
                .until(() -> text(fixture.fetchBuffered(getRequest("/"))).equals(expected));
    }

    /** Both addresses are alive, so the change is not caused by a failure. */
    @Test
    void dnsChangeIsFollowedWithinTtlAndConnectionMaxLife() throws Exception {
        try (var blue = originAt("127.0.0.1", 0, "blue");
                var green = originAt("127.0.0.2", blue.port(), "green");
                var dns = new DnsStub(1).register(NAME, address("127.0.0.1"));
                var fixture = fixtureUsing(
                        OriginFixture.withConnectionMaxLife(configForPort(blue.port()), Duration.ofSeconds(1)), dns)) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("blue");

            dns.register(NAME, address("127.0.0.2"));
            awaitText(fixture, "green");

            int requestsBefore = blue.requests().size();
            for (int i = 0; i < 50; i++) {
                assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("green");
            }
            assertThat(blue.requests()).hasSize(requestsBefore);
            assertThat(green.connectionCount()).isPositive();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void hostsFileChangeIsFollowed(boolean replaced) throws Exception {
        Path file = directory.resolve("hosts");
        Files.writeString(file, "127.0.0.1 " + NAME + "\n");
        try (var blue = originAt("127.0.0.1", 0, "blue");
                var green = originAt("127.0.0.2", blue.port(), "green");
                var fixture = OriginFixture.forOrigin(
                        OriginFixture.withConnectionMaxLife(configForPort(blue.port()), Duration.ofSeconds(1)),
                        names(file.toFile()))) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("blue");

            if (replaced) {
                Path next = directory.resolve("next");
                Files.writeString(next, "127.0.0.2 " + NAME + "\n");
                Files.move(next, file, StandardCopyOption.REPLACE_EXISTING);
            } else {
                Files.writeString(file, "127.0.0.2 " + NAME + "\n");
            }

            awaitText(fixture, "green");
            assertThat(green.connectionCount()).isPositive();
        }
    }

    private static OriginAddressResolverGroup names(File hosts) {
        return new OriginAddressResolverGroup(new HostsFile(Optional.of(hosts), Schedulers.boundedElastic()),
                Optional.empty());
    }

    /** As in the JDK, a name that is not in the file of jdk.net.hosts.file does not exist. */
    @Test
    void nameMissingFromTheHostsFileIsUnreachable() throws Exception {
        Path file = directory.resolve("hosts");
        Files.writeString(file, "127.0.0.1 elsewhere.example\n");
        try (var fixture = OriginFixture.forOrigin(configForPort(80), names(file.toFile()))) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/"))).isInstanceOfSatisfying(
                    OriginFailedException.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));
        }
    }

    @Test
    void newDnsNameIsFoundWithinSeconds() throws Exception {
        try (var blue = originAt("127.0.0.1", 0, "blue");
                var dns = new DnsStub(60);
                var fixture = fixtureUsing(configForPort(blue.port()), dns)) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/"))).isInstanceOfSatisfying(
                    OriginFailedException.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));

            dns.register(NAME, address("127.0.0.1"));

            await()
                    .ignoreException(OriginFailedException.class)
                    .until(() -> text(fixture.fetchBuffered(getRequest("/"))).equals("blue"));
        }
    }

    @Test
    void dnsIsNotQueriedAgainWithinTheTtl() throws Exception {
        try (var server = new ScriptedOrigin(address("127.0.0.1"), 0, peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        });
                var dns = new DnsStub(60).register(NAME, address("127.0.0.1"));
                var fixture = fixtureUsing(configForPort(server.port()), dns)) {
            fixture.fetchBuffered(getRequest("/"));
            int queries = dns.queryCount();
            for (int i = 0; i < 20; i++) {
                fixture.fetchBuffered(getRequest("/"));
            }
            assertThat(server.connectionCount()).isEqualTo(21);
            assertThat(dns.queryCount()).isEqualTo(queries);
        }
    }

    @Test
    void lastAddressesAreUsedWhileDnsIsSilent() throws Exception {
        try (var server = new ScriptedOrigin(address("127.0.0.1"), 0, peer -> {
            peer.readRequest();
            peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        });
                var dns = new DnsStub(1).register(NAME, address("127.0.0.1"));
                var fixture = fixtureUsing(configForPort(server.port()), dns)) {
            fixture.fetchBuffered(getRequest("/"));
            int queries = dns.queryCount();
            dns.stopReplying();

            await().atMost(Duration.ofSeconds(30)).until(() -> {
                assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
                return dns.queryCount() > queries + 1;
            });
        }
    }

    // Several addresses.

    @Test
    void refusingAddressIsSkipped() throws Exception {
        try (var live = originAt("127.0.0.2", 0, "live");
                var dns = new DnsStub(60).register(NAME, address("127.0.0.1"), address("127.0.0.2"));
                var fixture = fixtureUsing(configForPort(live.port()), dns)) {
            for (int i = 0; i < 20; i++) {
                assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("live");
            }
            assertThat(fixture.failures()).isZero();
        }
    }

    /** A full accept queue: further connection attempts are dropped silently. */
    @Test
    void silentAddressIsSkippedAndThenTriedLast() throws Exception {
        var crowd = new ArrayList<Socket>();
        try (var hole = new ServerSocket(0, 1, address("127.0.0.1"));
                var live = new ScriptedOrigin(address("127.0.0.2"), hole.getLocalPort(), peer -> {
                    peer.readRequest();
                    peer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                });
                var dns = new DnsStub(60).register(NAME, address("127.0.0.1"), address("127.0.0.2"));
                var fixture = fixtureUsing(configForPort(live.port()), dns)) {
            while (tryConnect(hole, crowd)) {
                // One more.
            }
            long start = System.nanoTime();
            // One of these waits 1 s for the silent address; if each did, it would take 20 s.
            for (int i = 0; i < 20; i++) {
                assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("ok");
            }
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(10));
            assertThat(fixture.failures()).isZero();
        } finally {
            for (Socket socket : crowd) {
                socket.close();
            }
        }
    }

    private static boolean tryConnect(ServerSocket server, List<Socket> crowd) throws IOException {
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
    void ipv6AddressIsUsedWhenIpv4Fails() throws Exception {
        try (var live = originAt("::1", 0, "six");
                var dns = new DnsStub(60).register(NAME, address("127.0.0.1"), address("::1"));
                var fixture = fixtureUsing(configForPort(live.port()), dns)) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("six");
        }
    }

    @Test
    void ipv6OnlyNameIsReached() throws Exception {
        try (var live = originAt("::1", 0, "six");
                var dns = new DnsStub(60).register(NAME, address("::1"));
                var fixture = fixtureUsing(configForPort(live.port()), dns)) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("six");
        }
    }

    // Names that every machine resolves.

    @Test
    void localhostIsResolved() throws Exception {
        try (var live = originAt("127.0.0.1", 0, "here");
                var fixture = OriginFixture.forOrigin(URI.create("http://localhost:" + live.port()))) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("here");
        }
    }
}
