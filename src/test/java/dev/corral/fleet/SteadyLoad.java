package dev.corral.fleet;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongFunction;
import java.util.stream.IntStream;

/**
 * Clients at a steady rate, each on one keep-alive connection. After a response with {@code Connection: close} a client opens a new
 * connection to the next server. It never repeats a request: a request without a response has failed.
 */
final class SteadyLoad implements AutoCloseable {

    private static final Duration RESPONSE_TIMEOUT = Duration.ofSeconds(40);

    private final List<Integer> ports;
    private final Duration interval;
    private final LongFunction<String> targets;
    private final AtomicLong requests = new AtomicLong();
    private final AtomicLong closes = new AtomicLong();
    private final Queue<String> failures = new ConcurrentLinkedQueue<>();
    private final List<Thread> clients = new ArrayList<>();
    private volatile boolean running = true;

    private SteadyLoad(List<Integer> ports, Duration pace, LongFunction<String> targets) {
        this.ports = ports;
        this.interval = pace;
        this.targets = targets;
    }

    /** Starts this many clients of these ports of 127.0.0.1. Targets are numbered over all clients, from 0. */
    static SteadyLoad start(int clients, List<Integer> ports, Duration pace, LongFunction<String> targets) {
        var load = new SteadyLoad(ports, pace, targets);
        IntStream.range(0, clients)
                .forEach(i -> load.clients.add(Thread.ofVirtual().start(() -> load.run(i))));
        return load;
    }

    /** The number of requests sent. */
    long requests() {
        return requests.get();
    }

    /** The number of responses with {@code Connection: close}. */
    long closes() {
        return closes.get();
    }

    /** The errors so far, one per line. */
    List<String> failures() {
        return List.copyOf(failures);
    }

    /** Waits until each client has received its last response. */
    void stop() {
        running = false;
        clients.forEach(client -> {
            try {
                client.join(RESPONSE_TIMEOUT);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    @Override
    public void close() {
        stop();
    }

    private record KeptConnection(Socket socket, InputStream in, int server) {}

    private record ReceivedHead(int status, boolean isClosing, long length) {}

    private void run(int client) {
        int next = client;
        Optional<KeptConnection> kept = Optional.empty();
        while (running) {
            long number = requests.getAndIncrement();
            String target = targets.apply(number);
            try {
                KeptConnection connection = kept.isPresent() ? kept.get() : connect(next);
                kept = Optional.of(connection);
                ReceivedHead head = exchange(connection, target);
                if (head.status != 200) {
                    failures.add(target + " at server " + connection.server + ": " + head.status);
                }
                if (head.isClosing) {
                    closes.incrementAndGet();
                    connection.socket.close();
                    next = connection.server + 1;
                    kept = Optional.empty();
                }
                Thread.sleep(interval);
            } catch (IOException e) {
                failures.add(target + " at server " + kept.map(KeptConnection::server).orElse(-1) + ": " + e);
                next++;
                kept = Optional.empty();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
        kept.ifPresent(SteadyLoad::closeQuietly);
    }

    /** Connects to the first listening server, starting with this one. */
    private KeptConnection connect(int first) throws IOException {
        for (int i = 0; i < ports.size(); i++) {
            int server = (first + i) % ports.size();
            try {
                var socket = new Socket(InetAddress.getLoopbackAddress(), ports.get(server));
                socket.setTcpNoDelay(true);
                socket.setSoTimeout((int) RESPONSE_TIMEOUT.toMillis());
                return new KeptConnection(socket, new BufferedInputStream(socket.getInputStream()), server);
            } catch (ConnectException refused) {
                // No request was sent: try another server, as a load balancer does.
            }
        }
        throw new ConnectException("no server listens");
    }

    private static ReceivedHead exchange(KeptConnection connection, String target) throws IOException {
        connection.socket.getOutputStream()
                .write(("GET " + target + " HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                        .getBytes(StandardCharsets.ISO_8859_1));
        ReceivedHead head = head(connection.in);
        if (connection.in.readNBytes(Math.toIntExact(head.length)).length < head.length) {
            throw new IOException("the body is cut short");
        }
        return head;
    }

    private static ReceivedHead head(InputStream in) throws IOException {
        var bytes = new ByteArrayOutputStream();
        String text = "";
        while (!text.endsWith("\r\n\r\n")) {
            int next = in.read();
            if (next < 0) {
                throw new IOException("closed without a response after " + bytes.size() + " bytes");
            }
            bytes.write(next);
            text = next == '\n' ? bytes.toString(StandardCharsets.ISO_8859_1) : "";
        }
        String lower = text.toLowerCase(Locale.ROOT);
        long length = lower.lines()
                .filter(line -> line.startsWith("content-length:"))
                .mapToLong(line -> Long.parseLong(line.substring(line.indexOf(':') + 1).strip()))
                .findFirst()
                .orElseThrow(() -> new IOException("no length: " + lower));
        return new ReceivedHead(Integer.parseInt(text, 9, 12, 10), lower.contains("\r\nconnection: close\r\n"), length);
    }

    private static void closeQuietly(KeptConnection connection) {
        try {
            connection.socket.close();
        } catch (IOException ignored) {
            // Already closed.
        }
    }
}
