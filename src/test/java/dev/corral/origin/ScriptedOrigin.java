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
    interface ConnectionScript {
        void run(ScriptedConnection peer) throws Exception;
    }

    /** The origin's end of one connection. */
    static final class ScriptedConnection {

        private final Socket socket;
        private final InputStream input;
        private final List<String> requests;

        private ScriptedConnection(Socket socket, List<String> requests) throws IOException {
            this.socket = socket;
            this.input = socket.getInputStream();
            this.requests = requests;
        }

        /** Reads one request's head, line by line as sent; empty when the client has gone. */
        String readRequest() throws IOException {
            var head = new StringBuilder();
            while (head.indexOf("\r\n\r\n") < 0) {
                int next = input.read();
                if (next < 0) {
                    return "";
                }
                head.append((char) next);
            }
            requests.add(head.toString());
            return head.toString();
        }

        /** Reads that many bytes. */
        String readBytes(int count) throws IOException {
            return new String(input.readNBytes(count), StandardCharsets.ISO_8859_1);
        }

        /** Reads until the client closes the connection, or resets it. */
        void awaitClosed() {
            try {
                input.transferTo(OutputStream.nullOutputStream());
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

        ScriptedConnection await(CountDownLatch latch) throws InterruptedException {
            if (!latch.await(10, TimeUnit.SECONDS)) {
                throw new IllegalStateException("what the script waits for did not happen");
            }
            return this;
        }

        ScriptedConnection write(String text) throws IOException {
            return write(text.getBytes(StandardCharsets.ISO_8859_1));
        }

        ScriptedConnection write(byte[] bytes) throws IOException {
            socket.getOutputStream().write(bytes);
            socket.getOutputStream().flush();
            return this;
        }

        /** Ends its own side of the connection, as a close does, and returns the heads that come all the same. */
        List<String> halfClose() throws IOException {
            socket.shutdownOutput();
            var late = new ArrayList<String>();
            try {
                for (String head = readRequest(); !head.isEmpty(); head = readRequest()) {
                    late.add(head);
                }
            } catch (IOException reset) {
                // Nothing more comes.
            }
            return late;
        }

        /** Closes, now. */
        void closeNow() throws IOException {
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
    private final AtomicInteger connectionCount = new AtomicInteger();

    ScriptedOrigin(ConnectionScript script) {
        this(InetAddress.getLoopbackAddress(), 0, script);
    }

    /** At that address; a port of 0 is any. */
    ScriptedOrigin(InetAddress address, int port, ConnectionScript script) {
        try {
            server = new ServerSocket(port, 50, address);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(() -> acceptConnections(script));
    }

    /** Answers each request of each connection with the text. */
    static ScriptedOrigin respondingWith(String answer) {
        return new ScriptedOrigin(peer -> {
            while (!peer.readRequest().isEmpty()) {
                peer.write(answer);
            }
        });
    }

    private void acceptConnections(ConnectionScript script) {
        try {
            while (true) {
                Socket socket = server.accept();
                sockets.add(socket);
                connectionCount.incrementAndGet();
                Thread.ofVirtual().start(() -> runScript(script, socket));
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private void runScript(ConnectionScript script, Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            script.run(new ScriptedConnection(socket, requests));
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

    int connectionCount() {
        return connectionCount.get();
    }

    @Override
    public void close() throws IOException {
        server.close();
        for (Socket socket : sockets) {
            socket.close();
        }
    }
}
