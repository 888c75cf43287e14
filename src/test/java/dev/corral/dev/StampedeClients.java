package dev.corral.dev;

import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Many clients in one thread, each with a connection that is opened before the signal, distributed over the ports in turn. All send the
 * same request at once; each response time runs from the signal to the last byte. Not thread-safe.
 */
final class StampedeClients implements AutoCloseable {

    // The same whatever the port: the clients of one site behind one load balancer.
    private static final String HOST = "shop.example";
    private static final Duration RESPONSE_TIMEOUT = Duration.ofSeconds(30);

    private final Selector selector;
    private final int ports;
    private final List<StampedeClient> clients = new ArrayList<>();
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(64 * 1024);

    private StampedeClients(Selector selector, int ports) {
        this.selector = selector;
        this.ports = ports;
    }

    /** Opens {@code size} connections to 127.0.0.1, in turn to each of the ports. */
    static StampedeClients connect(int size, List<Integer> ports) {
        try {
            var crowd = new StampedeClients(Selector.open(), ports.size());
            for (int i = 0; i < size; i++) {
                crowd.clients.add(crowd.new StampedeClient(ports.get(i % ports.size())));
            }
            crowd.connectAll();
            return crowd;
        } catch (IOException e) {
            throw new UncheckedIOException("cannot connect the crowd", e);
        }
    }

    /** All ask for that target at once; returns when each has its answer, or none in time ({@link TimedResponse#NO_RESPONSE}). */
    List<TimedResponse> requestAtOnce(String target) {
        return requestAtOnce(List.of(target));
    }

    /**
     * Starts a round with several targets: the first clients, as many as there are replicas, request the first target, the next clients the
     * second, and so on, so that each target is requested at every replica.
     */
    List<TimedResponse> requestAtOnce(List<String> targets) {
        List<byte[]> requests = targets.stream()
                .map(target -> ("GET " + target + " HTTP/1.1\r\nHost: " + HOST + "\r\nAccept: */*\r\n\r\n")
                        .getBytes(StandardCharsets.US_ASCII))
                .toList();
        try {
            connectAll();
            long signal = System.nanoTime();
            sendAll(requests);
            readAll(signal);
            return clients.stream().map(client -> client.toTimedResponse(signal)).toList();
        } catch (IOException e) {
            throw new UncheckedIOException("the crowd cannot ask for " + targets.getFirst(), e);
        }
    }

    @Override
    public void close() {
        clients.forEach(StampedeClient::disconnect);
        try {
            selector.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void connectAll() throws IOException {
        for (StampedeClient client : clients) {
            client.connect();
        }
    }

    private void sendAll(List<byte[]> requests) throws IOException {
        for (int i = 0; i < clients.size(); i++) {
            byte[] request = requests.get(i / ports % requests.size());
            buffer.clear().put(request).flip();
            clients.get(i).send(buffer);
        }
    }

    private void readAll(long signal) throws IOException {
        long deadline = signal + RESPONSE_TIMEOUT.toNanos();
        long waiting = clients.size();
        while (waiting > 0) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                return;
            }
            selector.select(left);
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.attachment() instanceof StampedeClient client && client.read()) {
                    waiting--;
                }
            }
            selector.selectedKeys().clear();
        }
    }

    /** One client and its connection. */
    private final class StampedeClient {

        private final int port;
        private final HttpResponseReader reader = new HttpResponseReader();
        private SocketChannel channel = SocketChannel.open();
        private boolean awaitingResponse;
        private long completedAtNanos;

        StampedeClient(int port) throws IOException {
            this.port = port;
        }

        /** Connects, unless the connection of the last time is still good. */
        void connect() throws IOException {
            if (channel.isConnected() && !awaitingResponse) {
                return;
            }
            disconnect();
            channel = SocketChannel.open();
            channel.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_READ, this);
            awaitingResponse = false;
        }

        void send(ByteBuffer request) throws IOException {
            reader.reset();
            completedAtNanos = 0;
            awaitingResponse = true;
            channel.write(request);
            if (request.hasRemaining()) {
                throw new IOException("a request did not fit into the socket's buffer");
            }
        }

        /** Takes what has come; true when this client waits no longer. */
        boolean read() throws IOException {
            if (!awaitingResponse) {
                // The server closed an idle connection: a new one is made before the next signal.
                disconnect();
                return false;
            }
            buffer.clear();
            int count = receive();
            if (count < 0) {
                return onEndOfStream();
            }
            if (!reader.append(buffer.flip())) {
                return false;
            }
            onResponseComplete();
            if (reader.isClosing()) {
                disconnect();
            }
            return true;
        }

        TimedResponse toTimedResponse(long signal) {
            return completedAtNanos == 0
                    ? new TimedResponse(TimedResponse.NO_RESPONSE, "", "", RESPONSE_TIMEOUT)
                    : new TimedResponse(reader.status(), reader.head(),
                            new String(reader.body(), StandardCharsets.ISO_8859_1),
                            Duration.ofNanos(completedAtNanos - signal));
        }

        void disconnect() {
            close(channel);
        }

        private int receive() {
            try {
                return channel.read(buffer);
            } catch (IOException reset) {
                return -1;
            }
        }

        private boolean onEndOfStream() {
            disconnect();
            if (reader.isCompleteAtEndOfStream()) {
                onResponseComplete();
            }
            return true;
        }

        private void onResponseComplete() {
            completedAtNanos = System.nanoTime();
            awaitingResponse = false;
        }
    }

    private static void close(Closeable channel) {
        try {
            channel.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
