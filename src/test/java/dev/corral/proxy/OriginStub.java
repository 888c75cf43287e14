package dev.corral.proxy;

import dev.corral.http.HeaderFields;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * An origin on a raw socket, HTTP/1.1 with connections that stay open: plays what a test says for a path, and keeps every
 * request as it came, byte for byte. Scripts run on threads of their own and may block.
 */
final class OriginStub implements AutoCloseable {

    /** What the origin does with one request. */
    interface ResponseScript {
        void run(StubExchange exchange) throws Exception;
    }

    /**
     * A request as it came.
     *
     * @param line   the request line
     * @param fields in the order and case received
     */
    record ReceivedRequest(String line, HeaderFields fields) {

        String method() {
            return line.substring(0, line.indexOf(' '));
        }

        String target() {
            return line.substring(line.indexOf(' ') + 1, line.lastIndexOf(' '));
        }

        String path() {
            int query = target().indexOf('?');
            return query < 0 ? target() : target().substring(0, query);
        }

        String field(String name) {
            return fields.combinedValue(name).orElse("");
        }
    }

    private final ServerSocket server;
    private final Map<String, ResponseScript> scripts = new ConcurrentHashMap<>();
    private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
    private final List<ReceivedRequest> receivedRequests = new CopyOnWriteArrayList<>();
    private final AtomicInteger acceptedConnections = new AtomicInteger();

    OriginStub() {
        try {
            server = new ServerSocket(0, 1_000, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(this::acceptConnections);
    }

    String url() {
        return "http://127.0.0.1:" + server.getLocalPort();
    }

    String authority() {
        return "127.0.0.1:" + server.getLocalPort();
    }

    /** From now on that path, whatever its query, is answered by this. */
    void on(String path, ResponseScript script) {
        scripts.put(path, script);
    }

    /** From now on that path is answered with this. */
    void on(String path, int status, String text, String... fields) {
        on(path, exchange -> exchange.respond(status, text, fields));
    }

    /** All requests for that path, whatever their query, in the order they came. */
    List<ReceivedRequest> receivedRequests(String path) {
        return receivedRequests.stream().filter(request -> request.path().equals(path)).toList();
    }

    /** All requests, in the order they came. */
    List<ReceivedRequest> receivedRequests() {
        return receivedRequests;
    }

    ReceivedRequest lastRequest(String path) {
        return receivedRequests(path).getLast();
    }

    int requestCount(String path) {
        return receivedRequests(path).size();
    }

    /** Connections open now. */
    int openConnections() {
        return sockets.size();
    }

    /** Connections there have ever been. */
    int acceptedConnections() {
        return acceptedConnections.get();
    }

    private void acceptConnections() {
        try {
            while (true) {
                Socket socket = server.accept();
                acceptedConnections.incrementAndGet();
                sockets.add(socket);
                Thread.ofVirtual().start(() -> serve(socket));
            }
        } catch (IOException closed) {
            // The tests are over.
        }
    }

    private void serve(Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            var in = new BufferedInputStream(socket.getInputStream());
            Optional<ReceivedRequest> request = readRequest(in);
            while (request.isPresent()) {
                receivedRequests.add(request.get());
                var exchange = new StubExchange(socket, in, request.get());
                scripts.getOrDefault(request.get().path(), OriginStub::respondNotFound).run(exchange);
                if (socket.isClosed()) {
                    return;
                }
                exchange.body().transferTo(java.io.OutputStream.nullOutputStream());
                request = readRequest(in);
            }
        } catch (IOException gone) {
            // The client left.
        } catch (Exception broken) {
            throw new IllegalStateException("a script failed", broken);
        } finally {
            sockets.remove(socket);
        }
    }

    private static void respondNotFound(StubExchange exchange) throws IOException {
        exchange.respond(404, "no script for this path", "Cache-Control", "no-store");
    }

    private static Optional<ReceivedRequest> readRequest(InputStream in) throws IOException {
        String line = readLine(in);
        if (line.isEmpty()) {
            return Optional.empty();
        }
        HeaderFields fields = HeaderFields.EMPTY;
        for (String field = readLine(in); !field.isEmpty(); field = readLine(in)) {
            int colon = field.indexOf(':');
            fields = fields.plus(field.substring(0, colon), field.substring(colon + 1).strip());
        }
        return Optional.of(new ReceivedRequest(line, fields));
    }

    private static String readLine(InputStream in) throws IOException {
        var line = new ByteArrayOutputStream();
        for (int next = in.read(); next >= 0 && next != '\n'; next = in.read()) {
            line.write(next);
        }
        return line.toString(StandardCharsets.ISO_8859_1).replace("\r", "");
    }

    @Override
    public void close() {
        try {
            server.close();
            for (Socket socket : sockets) {
                socket.close();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** One request and the origin's end of its connection. */
    static final class StubExchange {

        final ReceivedRequest request;
        private final Socket socket;
        private final InputStream body;

        private StubExchange(Socket socket, InputStream in, ReceivedRequest request) {
            this.socket = socket;
            this.request = request;
            this.body = request.field("Transfer-Encoding").equals("chunked")
                    ? new ChunkedBody(in)
                    : new FixedLengthBody(in,
                            request.fields.firstValue("Content-Length").map(Long::parseLong).orElse(0L));
        }

        /** The request's body; what a script leaves of it is dropped. */
        InputStream body() {
            return body;
        }

        String bodyText() throws IOException {
            return new String(body.readAllBytes(), StandardCharsets.UTF_8);
        }

        /** A whole answer with its Content-Length; without body to HEAD and for 204 and 304. */
        void respond(int status, String text, String... fields) throws IOException {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            boolean bodiless = status == 204 || status == 304;
            var head = new StringBuilder(formatHead(status, fields));
            if (!bodiless) {
                head.append("Content-Length: ").append(bytes.length).append("\r\n");
            }
            writeRaw(head.append("\r\n").toString());
            if (!bodiless && !request.method().equals("HEAD")) {
                writeRaw(bytes);
            }
        }

        static String formatHead(int status, String... fields) {
            var head = new StringBuilder("HTTP/1.1 ").append(status).append(" Said\r\n");
            HeaderFields.of(fields)
                    .forEach(field -> head.append(field.name())
                            .append(": ")
                            .append(field.value())
                            .append("\r\n"));
            return head.toString();
        }

        /** These bytes as they are. */
        void writeRaw(String text) throws IOException {
            writeRaw(text.getBytes(StandardCharsets.ISO_8859_1));
        }

        void writeRaw(byte[] bytes) throws IOException {
            socket.getOutputStream().write(bytes);
            socket.getOutputStream().flush();
        }

        void writeChunk(String text) throws IOException {
            writeRaw(Integer.toHexString(text.length()) + "\r\n" + text + "\r\n");
        }

        /** Closes the connection where it stands. */
        void close() throws IOException {
            socket.close();
        }

        /** Returns when the other side has closed the connection. */
        void awaitClosed() {
            try {
                socket.getInputStream().transferTo(java.io.OutputStream.nullOutputStream());
            } catch (IOException reset) {
                // Closed all the same.
            }
        }
    }

    private static final class FixedLengthBody extends InputStream {

        private final InputStream input;
        private long remaining;

        FixedLengthBody(InputStream in, long length) {
            this.input = in;
            this.remaining = length;
        }

        @Override
        public int read() throws IOException {
            int next = remaining == 0 ? -1 : input.read();
            remaining -= next < 0 ? 0 : 1;
            return next;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            int count = remaining == 0 ? -1 : input.read(bytes, offset, (int) Math.min(length, remaining));
            remaining -= Math.max(count, 0);
            return count;
        }
    }

    private static final class ChunkedBody extends InputStream {

        private final InputStream input;
        private long remaining;
        private boolean started;
        private boolean ended;

        ChunkedBody(InputStream in) {
            this.input = in;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            if (remaining == 0 && !ended) {
                nextChunk();
            }
            int count = ended ? -1 : input.read(bytes, offset, (int) Math.min(length, remaining));
            remaining -= Math.max(count, 0);
            return count;
        }

        private void nextChunk() throws IOException {
            if (started) {
                readLine(input);
            }
            started = true;
            String size = readLine(input);
            remaining = Long.parseLong(size.isEmpty() ? "0" : size, 16);
            ended = remaining == 0;
            while (ended && !readLine(input).isEmpty()) {
                // A trailer.
            }
        }
    }
}
