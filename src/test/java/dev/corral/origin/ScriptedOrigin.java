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

/** An origin on a raw socket that follows a script byte by byte; the script runs once for each connection. */
final class ScriptedOrigin implements AutoCloseable {

    /** The script for one connection, which is closed at its end. */
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

        /** Reads one request head, line by line as sent; empty when the client has closed the connection. */
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

        /** Reads exactly this number of bytes. */
        String readBytes(int count) throws IOException {
            return new String(input.readNBytes(count), StandardCharsets.ISO_8859_1);
        }

        /** Reads until the client closes or resets the connection. */
        void awaitClosed() {
            try {
                input.transferTo(OutputStream.nullOutputStream());
            } catch (IOException reset) {
                // A reset also closes the connection.
            }
        }

        /** Starts TLS on this connection; the connection stays open when TLS is closed. */
        SSLSocket serveTls(SSLContext context) throws IOException {
            var tls = (SSLSocket) context.getSocketFactory().createSocket(socket, "", 0, false);
            tls.setUseClientMode(false);
            return tls;
        }

        ScriptedConnection await(CountDownLatch latch) throws InterruptedException {
            if (!latch.await(OriginFixture.LONG_TIMEOUT.toSeconds(), TimeUnit.SECONDS)) {
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

        /** Shuts down the output, as a close does, and returns the request heads that still arrive. */
        List<String> halfClose() throws IOException {
            socket.shutdownOutput();
            var late = new ArrayList<String>();
            try {
                for (String head = readRequest(); !head.isEmpty(); head = readRequest()) {
                    late.add(head);
                }
            } catch (IOException reset) {
                // No more requests arrive.
            }
            return late;
        }

        /** Closes the connection at once. */
        void closeNow() throws IOException {
            socket.close();
        }

        /** Closes the connection with a reset. */
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

    /** Listens on this address; port 0 means any free port. */
    ScriptedOrigin(InetAddress address, int port, ConnectionScript script) {
        try {
            server = new ServerSocket(port, 50, address);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(() -> acceptConnections(script));
    }

    /** Responds to each request on each connection with the text. */
    static ScriptedOrigin respondingWith(String response) {
        return new ScriptedOrigin(peer -> {
            while (!peer.readRequest().isEmpty()) {
                peer.write(response);
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
            // The test has ended.
        }
    }

    private void runScript(ConnectionScript script, Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            script.run(new ScriptedConnection(socket, requests));
        } catch (Exception gone) {
            // The client disconnected during the script, or the test has ended.
        }
    }

    int port() {
        return server.getLocalPort();
    }

    URI uri() {
        return URI.create("http://127.0.0.1:" + server.getLocalPort());
    }

    /** The heads of all requests, in the order of arrival. */
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
