package dev.corral.dev;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A TCP proxy on 127.0.0.1 that injects network faults: it delays, limits, drops, closes and rejects. Delayed bytes keep their order within
 * a connection and direction, as behind a lost packet. A fault applies to open and later connections, unless stated otherwise, until
 * {@link #heal()}. The random choices of a connection follow from the seed and its number. Thread-safe.
 */
public final class FaultProxy implements AutoCloseable {

    private static final int CHUNK_BYTES = 16 * 1024;

    // At most 4 MB in transit in each direction of a connection; then TCP blocks the sender.
    private static final int MAX_CHUNKS_IN_TRANSIT = 256;

    /** How chunks are delivered: a fixed delay, a random additional delay, a share of late replies, a bandwidth (0: no limit). */
    private record LinkConditions(Duration delay, Duration jitter, double lateShare, Duration late,
            long bytesPerSecond) {
        static final LinkConditions WITHOUT_FAULT = new LinkConditions(Duration.ZERO, Duration.ZERO, 0, Duration.ZERO,
                0);
    }

    private static final class DelayedChunk {
        final byte[] bytes;
        final long dueNanos;

        DelayedChunk(byte[] bytes, long dueNanos) {
            this.bytes = bytes;
            this.dueNanos = dueNanos;
        }
    }

    private final InetAddress address;
    private final int port;
    private final long seed;
    private final Set<ProxiedConnection> connections = ConcurrentHashMap.newKeySet();

    private final AtomicLong replies = new AtomicLong();

    private volatile int targetPort;
    private volatile LinkConditions conditions = LinkConditions.WITHOUT_FAULT;
    private volatile boolean swallowing;
    private ServerSocket listener; // guarded by this
    private long accepted; // guarded by this

    private FaultProxy(String host, int port, int targetPort, long seed) throws IOException {
        this.address = InetAddress.getByName(host);
        this.targetPort = targetPort;
        this.seed = seed;
        this.listener = listen(port);
        this.port = listener.getLocalPort();
        acceptFrom(listener);
    }

    /** Opens a proxy without a fault on a free port, for this port of 127.0.0.1. */
    public static FaultProxy start(int targetPort, long seed) {
        return start("127.0.0.1", 0, targetPort, seed);
    }

    /** Opens a proxy on this loopback address and port. */
    public static FaultProxy start(String host, int port, int targetPort, long seed) {
        try {
            return new FaultProxy(host, port, targetPort, seed);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The port for clients. */
    public int port() {
        return port;
    }

    /** The number of open connections. */
    public int connections() {
        return connections.size();
    }

    /** The number of chunks from the server that have been scheduled for delivery. */
    long replies() {
        return replies.get();
    }

    /** Delays everything in both directions by this time and a random part of {@code jitter}. */
    public void delay(Duration fixed, Duration jitter) {
        conditions = new LinkConditions(fixed, jitter, conditions.lateShare, conditions.late,
                conditions.bytesPerSecond);
    }

    /** Delays a share of the server's chunks, and everything behind them in their connection, like a lost packet. */
    public void lateReplies(double share, Duration by) {
        conditions = new LinkConditions(conditions.delay, conditions.jitter, share, by, conditions.bytesPerSecond);
    }

    /** Limits the bandwidth of each direction of each connection. */
    public void bandwidth(long bytesPerSecond) {
        conditions = new LinkConditions(conditions.delay, conditions.jitter, conditions.lateShare, conditions.late,
                bytesPerSecond);
    }

    /** Accepts and keeps connections but delivers no byte in either direction. These bytes are lost. */
    public void blackHole() {
        swallowing = true;
    }

    /** Silences the open connections without closing them; later ones work. */
    public void halfOpen() {
        connections.forEach(connection -> connection.dead = true);
    }

    /** Closes all connections, with a reset or gracefully. */
    public void cut(boolean reset) {
        connections.forEach(connection -> connection.close(reset));
    }

    /** Nobody listens any more; connections that are open stay. */
    public synchronized void refuse() {
        closeQuietly(listener);
    }

    /** Later connections lead to another port; those that are open stay where they are: a name that has moved. */
    public void retarget(int otherPort) {
        targetPort = otherPort;
    }

    /** Ends every fault but the target's change. Connections that lost bytes are reset. */
    public synchronized void heal() {
        conditions = LinkConditions.WITHOUT_FAULT;
        if (swallowing) {
            connections.forEach(connection -> connection.dead = true);
        }
        swallowing = false;
        connections.stream().filter(connection -> connection.dead).forEach(connection -> connection.close(true));
        if (listener.isClosed()) {
            try {
                listener = listen(port);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            acceptFrom(listener);
        }
    }

    @Override
    public void close() {
        refuse();
        cut(true);
    }

    private ServerSocket listen(int onPort) throws IOException {
        var socket = new ServerSocket();
        socket.setReuseAddress(true);
        socket.bind(new InetSocketAddress(address, onPort), 1_024);
        return socket;
    }

    private void acceptFrom(ServerSocket from) {
        run("accept", () -> {
            while (!from.isClosed()) {
                // Closed with the connection.
                Socket client = from.accept();
                connect(client);
            }
        });
    }

    private void connect(Socket client) {
        long number;
        synchronized (this) {
            number = ++accepted;
        }
        try {
            var server = new Socket(InetAddress.getLoopbackAddress(), targetPort);
            client.setTcpNoDelay(true);
            server.setTcpNoDelay(true);
            var connection = new ProxiedConnection(client, server);
            connections.add(connection);
            connection.pump(client, server, new Random(seed + 2 * number), false);
            connection.pump(server, client, new Random(seed + 2 * number + 1), true);
        } catch (IOException e) {
            // As if the target's refusal had come to the client itself.
            reset(client);
        }
    }

    private final class ProxiedConnection {

        private final Socket client;
        private final Socket server;
        private volatile boolean dead;

        ProxiedConnection(Socket client, Socket server) {
            this.client = client;
            this.server = server;
        }

        void pump(Socket from, Socket to, Random random, boolean fromServer) {
            var way = new ArrayBlockingQueue<DelayedChunk>(MAX_CHUNKS_IN_TRANSIT);
            run("read", () -> {
                try {
                    read(from, way, random, fromServer);
                } catch (IOException e) {
                    close(true);
                } finally {
                    way.put(new DelayedChunk(new byte[0], 0));
                }
            });
            run("write", () -> {
                try {
                    write(to, way);
                    close(false);
                } catch (IOException e) {
                    close(true);
                }
            });
        }

        private void read(Socket from, BlockingQueue<DelayedChunk> way, Random random, boolean fromServer)
                throws IOException, InterruptedException {
            byte[] buffer = new byte[CHUNK_BYTES];
            long last = System.nanoTime();
            for (int count = from.getInputStream().read(buffer); count >= 0; count = from.getInputStream()
                    .read(buffer)) {
                if (swallowing) {
                    dead = true;
                }
                if (!dead && count > 0) {
                    last = Math.max(last, System.nanoTime() + transitNanos(random, fromServer)) + transferNanos(count);
                    way.put(new DelayedChunk(Arrays.copyOf(buffer, count), last));
                    if (fromServer) {
                        replies.incrementAndGet();
                    }
                }
            }
        }

        private void write(Socket to, BlockingQueue<DelayedChunk> way) throws IOException, InterruptedException {
            for (DelayedChunk chunk = way.take(); chunk.bytes.length > 0; chunk = way.take()) {
                long early = chunk.dueNanos - System.nanoTime();
                if (early > 0) {
                    TimeUnit.NANOSECONDS.sleep(early);
                }
                if (!dead) {
                    to.getOutputStream().write(chunk.bytes);
                }
            }
        }

        void close(boolean reset) {
            if (connections.remove(this)) {
                if (reset) {
                    reset(client);
                    reset(server);
                } else {
                    closeQuietly(client);
                    closeQuietly(server);
                }
            }
        }

    }

    private long transitNanos(Random random, boolean fromServer) {
        LinkConditions now = conditions;
        long nanos = now.delay.toNanos();
        if (!now.jitter.isZero()) {
            nanos += random.nextLong(now.jitter.toNanos());
        }
        if (fromServer && now.lateShare > 0 && random.nextDouble() < now.lateShare) {
            nanos += now.late.toNanos();
        }
        return nanos;
    }

    private long transferNanos(int bytes) {
        long bytesPerSecond = conditions.bytesPerSecond;
        return bytesPerSecond == 0 ? 0 : bytes * 1_000_000_000L / bytesPerSecond;
    }

    private interface IoTask {
        void run() throws IOException, InterruptedException;
    }

    private static void run(String name, IoTask work) {
        Thread.ofVirtual().name("proxy-" + name).start(() -> {
            try {
                work.run();
            } catch (IOException e) {
                // Its socket was closed: its work is done.
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    private static void reset(Socket socket) {
        try {
            socket.setSoLinger(true, 0);
        } catch (IOException ignored) {
            // Then it needs no reset.
        }
        closeQuietly(socket);
    }

    private static void closeQuietly(AutoCloseable socket) {
        try {
            socket.close();
        } catch (Exception e) {
            throw new IllegalStateException("cannot close a socket", e);
        }
    }
}
