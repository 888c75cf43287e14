package dev.corral.dev;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** The proxy's faults, on a server that echoes. Delays are checked from below only: a busy machine adds to them. */
@Timeout(30)
class FaultProxyTest {

    private static final int SILENCE_MILLIS = 300;

    // Far more than a busy machine adds.
    private static final Duration LATE_BY = Duration.ofMillis(1_500);

    private final ServerSocket server = echo();
    private final FaultProxy proxy = FaultProxy.start(server.getLocalPort(), 1);
    private final List<Socket> sockets = new ArrayList<>();

    @AfterEach
    void close() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        proxy.close();
        server.close();
    }

    @Test
    void bytesPassInOrderWithoutFault() throws IOException {
        Socket socket = connect();

        byte[] sent = new byte[200_000];
        new Random(1).nextBytes(sent);
        Thread.ofVirtual().start(() -> write(socket, sent));

        assertThat(socket.getInputStream().readNBytes(sent.length)).isEqualTo(sent);
    }

    @Test
    void delayAppliesInBothDirections() throws IOException {
        Socket socket = connect();
        proxy.delay(Duration.ofMillis(50), Duration.ofMillis(10));

        assertThat(roundTrip(socket)).isGreaterThanOrEqualTo(Duration.ofMillis(100));
    }

    @Test
    void lateReplyDelaysLaterReplies() throws IOException {
        Socket socket = connect();
        proxy.lateReplies(1, Duration.ofMillis(150));
        long start = System.nanoTime();
        write(socket, new byte[]{'a'});
        Eventually.await("its reply is on the way", Duration.ofSeconds(10), () -> proxy.replies() == 1);
        proxy.lateReplies(0, Duration.ZERO);
        write(socket, new byte[]{'b'});

        assertThat(socket.getInputStream().readNBytes(2)).asString().isEqualTo("ab");
        assertThat(System.nanoTime() - start).isGreaterThanOrEqualTo(Duration.ofMillis(150).toNanos());
    }

    @Test
    void sameSeedDelaysTheSameReplies() throws IOException {
        proxy.lateReplies(0.3, LATE_BY);
        List<Boolean> first = lateReplies(connect());
        try (FaultProxy same = FaultProxy.start(server.getLocalPort(), 1)) {
            same.lateReplies(0.3, LATE_BY);
            assertThat(lateReplies(connectTo(same.port()))).isEqualTo(first).contains(true, false);
        }
    }

    @Test
    void bandwidthIsLimited() throws IOException {
        Socket socket = connect();
        proxy.bandwidth(100_000);
        long start = System.nanoTime();
        byte[] sent = new byte[20_000];
        write(socket, sent);

        socket.getInputStream().readNBytes(sent.length);

        assertThat(System.nanoTime() - start).isGreaterThanOrEqualTo(Duration.ofMillis(200).toNanos());
    }

    @Test
    void blackHoleSwallowsBytesUntilHealed() throws IOException {
        Socket open = connect();
        roundTrip(open);
        proxy.blackHole();

        assertSilent(open);
        Socket later = connect();
        assertSilent(later);

        proxy.heal();
        // In the write or in the read, as it comes.
        assertThatThrownBy(() -> roundTrip(open)).isInstanceOfAny(IOException.class, UncheckedIOException.class);
        roundTrip(connect());
    }

    @Test
    void halfOpenSilencesExistingConnectionsOnly() throws IOException {
        Socket open = connect();
        roundTrip(open);

        proxy.halfOpen();

        assertSilent(open);
        roundTrip(connect());
    }

    @Test
    void cutClosesConnectionsWithOrWithoutReset() throws IOException {
        Socket first = connect();
        roundTrip(first);
        proxy.cut(false);
        assertThat(first.getInputStream().read()).isEqualTo(-1);

        Socket second = connect();
        roundTrip(second);
        proxy.cut(true);
        assertThatThrownBy(() -> second.getInputStream().read()).isInstanceOf(SocketException.class);
        assertThat(proxy.connections()).isZero();
    }

    @Test
    void refusalAppliesToNewConnectionsOnly() throws IOException {
        Socket open = connect();
        roundTrip(open);

        proxy.refuse();

        roundTrip(open);
        assertThatThrownBy(this::connect).isInstanceOf(IOException.class);
        proxy.heal();
        roundTrip(connect());
    }

    @Test
    void retargetAppliesToNewConnectionsOnly() throws IOException {
        Socket open = connect();
        roundTrip(open);
        try (ServerSocket other = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            proxy.retarget(other.getLocalPort());
            connect();

            other.accept().close();
            roundTrip(open);
        }
    }

    private static List<Boolean> lateReplies(Socket socket) throws IOException {
        var late = new ArrayList<Boolean>();
        for (int i = 0; i < 8; i++) {
            late.add(roundTrip(socket).compareTo(LATE_BY) >= 0);
        }
        return late;
    }

    private static Duration roundTrip(Socket socket) throws IOException {
        long start = System.nanoTime();
        socket.setSoTimeout(10_000);
        write(socket, new byte[]{'x'});
        if (socket.getInputStream().read() != 'x') {
            throw new IOException("the connection has ended");
        }
        return Duration.ofNanos(System.nanoTime() - start);
    }

    private static void assertSilent(Socket socket) throws IOException {
        socket.setSoTimeout(SILENCE_MILLIS);
        write(socket, new byte[]{'x'});
        assertThatThrownBy(() -> socket.getInputStream().read()).isInstanceOf(SocketTimeoutException.class);
    }

    private Socket connect() throws IOException {
        return connectTo(proxy.port());
    }

    private Socket connectTo(int port) throws IOException {
        var socket = new Socket(InetAddress.getLoopbackAddress(), port);
        sockets.add(socket);
        return socket;
    }

    private static void write(Socket socket, byte[] bytes) {
        try {
            socket.getOutputStream().write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static ServerSocket echo() {
        try {
            var server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
            Thread.ofVirtual().start(() -> {
                try {
                    while (true) {
                        Socket client = server.accept();
                        Thread.ofVirtual().start(() -> echo(client));
                    }
                } catch (IOException ignored) {
                    // The test has ended.
                }
            });
            return server;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void echo(Socket client) {
        try (client; InputStream in = client.getInputStream()) {
            in.transferTo(client.getOutputStream());
        } catch (IOException ignored) {
            // The other side is gone.
        }
    }
}
