package dev.corral.origin;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;

/** An origin on a raw socket that does exactly what its script says, byte by byte; the script is played for each connection. */
final class ScriptedOrigin implements AutoCloseable {

    /** What the origin does with one connection, which is closed at the end. */
    interface Script {
        void play(Peer peer) throws Exception;
    }

    /** The origin's end of one connection. */
    static final class Peer {

        private final Socket socket;
        private final InputStream in;
        private final List<String> requests;

        private Peer(Socket socket, List<String> requests) throws IOException {
            this.socket = socket;
            this.in = socket.getInputStream();
            this.requests = requests;
        }

        /** Reads one request's head, line by line as sent; empty when the client has gone. */
        String request() throws IOException {
            var head = new StringBuilder();
            while (head.indexOf("\r\n\r\n") < 0) {
                int next = in.read();
                if (next < 0) {
                    return "";
                }
                head.append((char) next);
            }
            requests.add(head.toString());
            return head.toString();
        }

        /** Reads that many bytes. */
        String bytes(int count) throws IOException {
            return new String(in.readNBytes(count), StandardCharsets.ISO_8859_1);
        }

        /** Reads until the client closes the connection, or resets it. */
        void untilClosed() {
            try {
                in.transferTo(OutputStream.nullOutputStream());
            } catch (IOException reset) {
                // Closed all the same.
            }
        }

        /** TLS on this connection, which stays open when TLS is closed. */
        SSLSocket serveTls(SSLContext context) throws IOException {
            var tls = (SSLSocket) context.getSocketFactory().createSocket(socket, "", 0, false);
            tls.setUseClientMode(false);
            return tls;
        }

        Peer await(CountDownLatch latch) throws InterruptedException {
            if (!latch.await(10, TimeUnit.SECONDS)) {
                throw new IllegalStateException("what the script waits for did not happen");
            }
            return this;
        }

        Peer say(String text) throws IOException {
            return say(text.getBytes(StandardCharsets.ISO_8859_1));
        }

        Peer say(byte[] bytes) throws IOException {
            socket.getOutputStream().write(bytes);
            socket.getOutputStream().flush();
            return this;
        }

        /** Ends its own side of the connection, as a close does, and returns the heads that come all the same. */
        List<String> halfClose() throws IOException {
            socket.shutdownOutput();
            var late = new ArrayList<String>();
            try {
                for (String head = request(); !head.isEmpty(); head = request()) {
                    late.add(head);
                }
            } catch (IOException reset) {
                // Nothing more comes.
            }
            return late;
        }

        /** Closes, now. */
        void end() throws IOException {
            socket.close();
        }

        /** Closes with a reset instead of an orderly end. */
        void reset() throws IOException {
            socket.setSoLinger(true, 0);
            socket.close();
        }
    }

    private final ServerSocket server;
    private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
    private final List<String> requests = new CopyOnWriteArrayList<>();
    private final AtomicInteger connections = new AtomicInteger();

    ScriptedOrigin(Script script) {
        this(InetAddress.getLoopbackAddress(), 0, script);
    }

    /** At that address; a port of 0 is any. */
    ScriptedOrigin(InetAddress address, int port, Script script) {
        try {
            server = new ServerSocket(port, 50, address);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(() -> accept(script));
    }

    /** Answers each request of each connection with the text. */
    static ScriptedOrigin saying(String answer) {
        return new ScriptedOrigin(peer -> {
            while (!peer.request().isEmpty()) {
                peer.say(answer);
            }
        });
    }

    private void accept(Script script) {
        try {
            while (true) {
                Socket socket = server.accept();
                sockets.add(socket);
                connections.incrementAndGet();
                Thread.ofVirtual().start(() -> play(script, socket));
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private void play(Script script, Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            script.play(new Peer(socket, requests));
        } catch (Exception gone) {
            // The client left in the middle of the script, or the test is over.
        }
    }

    int port() {
        return server.getLocalPort();
    }

    URI uri() {
        return URI.create("http://127.0.0.1:" + server.getLocalPort());
    }

    /** The heads of all requests, in the order they came. */
    List<String> requests() {
        return requests;
    }

    int connections() {
        return connections.get();
    }

    @Override
    public void close() throws IOException {
        server.close();
        for (Socket socket : sockets) {
            socket.close();
        }
    }
}
