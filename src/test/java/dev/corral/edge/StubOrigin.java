package dev.corral.edge;

import dev.corral.http.Fields;
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
final class StubOrigin implements AutoCloseable {

    /** What the origin does with one request. */
    interface Script {
        void play(Exchange exchange) throws Exception;
    }

    /**
     * A request as it came.
     *
     * @param line   the request line
     * @param fields in the order and case received
     */
    record Received(String line, Fields fields) {

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
            return fields.joined(name).orElse("");
        }
    }

    private final ServerSocket server;
    private final Map<String, Script> scripts = new ConcurrentHashMap<>();
    private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
    private final List<Received> received = new CopyOnWriteArrayList<>();
    private final AtomicInteger accepted = new AtomicInteger();

    StubOrigin() {
        try {
            server = new ServerSocket(0, 1_000, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofVirtual().start(this::accept);
    }

    String url() {
        return "http://127.0.0.1:" + server.getLocalPort();
    }

    String authority() {
        return "127.0.0.1:" + server.getLocalPort();
    }

    /** From now on that path, whatever its query, is answered by this. */
    void on(String path, Script script) {
        scripts.put(path, script);
    }

    /** From now on that path is answered with this. */
    void on(String path, int status, String text, String... fields) {
        on(path, exchange -> exchange.answer(status, text, fields));
    }

    /** All requests for that path, whatever their query, in the order they came. */
    List<Received> received(String path) {
        return received.stream().filter(request -> request.path().equals(path)).toList();
    }

    /** All requests, in the order they came. */
    List<Received> received() {
        return received;
    }

    Received last(String path) {
        return received(path).getLast();
    }

    int count(String path) {
        return received(path).size();
    }

    /** Connections open now. */
    int connections() {
        return sockets.size();
    }

    /** Connections there have ever been. */
    int accepted() {
        return accepted.get();
    }

    private void accept() {
        try {
            while (true) {
                Socket socket = server.accept();
                accepted.incrementAndGet();
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
            Optional<Received> request = request(in);
            while (request.isPresent()) {
                received.add(request.get());
                var exchange = new Exchange(socket, in, request.get());
                scripts.getOrDefault(request.get().path(), StubOrigin::unscripted).play(exchange);
                if (socket.isClosed()) {
                    return;
                }
                exchange.body().transferTo(java.io.OutputStream.nullOutputStream());
                request = request(in);
            }
        } catch (IOException gone) {
            // The client left.
        } catch (Exception broken) {
            throw new IllegalStateException("a script failed", broken);
        } finally {
            sockets.remove(socket);
        }
    }

    private static void unscripted(Exchange exchange) throws IOException {
        exchange.answer(404, "no script for this path", "Cache-Control", "no-store");
    }

    private static Optional<Received> request(InputStream in) throws IOException {
        String line = line(in);
        if (line.isEmpty()) {
            return Optional.empty();
        }
        Fields fields = Fields.NONE;
        for (String field = line(in); !field.isEmpty(); field = line(in)) {
            int colon = field.indexOf(':');
            fields = fields.plus(field.substring(0, colon), field.substring(colon + 1).strip());
        }
        return Optional.of(new Received(line, fields));
    }

    private static String line(InputStream in) throws IOException {
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
    static final class Exchange {

        final Received request;
        private final Socket socket;
        private final InputStream body;

        private Exchange(Socket socket, InputStream in, Received request) {
            this.socket = socket;
            this.request = request;
            this.body = request.field("Transfer-Encoding").equals("chunked")
                    ? new Chunks(in)
                    : new Measured(in, request.fields.first("Content-Length").map(Long::parseLong).orElse(0L));
        }

        /** The request's body; what a script leaves of it is dropped. */
        InputStream body() {
            return body;
        }

        String text() throws IOException {
            return new String(body.readAllBytes(), StandardCharsets.UTF_8);
        }

        /** A whole answer with its Content-Length; without body to HEAD and for 204 and 304. */
        void answer(int status, String text, String... fields) throws IOException {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            boolean bodiless = status == 204 || status == 304;
            var head = new StringBuilder(head(status, fields));
            if (!bodiless) {
                head.append("Content-Length: ").append(bytes.length).append("\r\n");
            }
            raw(head.append("\r\n").toString());
            if (!bodiless && !request.method().equals("HEAD")) {
                raw(bytes);
            }
        }

        static String head(int status, String... fields) {
            var head = new StringBuilder("HTTP/1.1 ").append(status).append(" Said\r\n");
            Fields.of(fields)
                    .forEach(field -> head.append(field.name())
                            .append(": ")
                            .append(field.value())
                            .append("\r\n"));
            return head.toString();
        }

        /** These bytes as they are. */
        void raw(String text) throws IOException {
            raw(text.getBytes(StandardCharsets.ISO_8859_1));
        }

        void raw(byte[] bytes) throws IOException {
            socket.getOutputStream().write(bytes);
            socket.getOutputStream().flush();
        }

        void chunk(String text) throws IOException {
            raw(Integer.toHexString(text.length()) + "\r\n" + text + "\r\n");
        }

        /** Closes the connection where it stands. */
        void close() throws IOException {
            socket.close();
        }

        /** Returns when the other side has closed the connection. */
        void untilClosed() {
            try {
                socket.getInputStream().transferTo(java.io.OutputStream.nullOutputStream());
            } catch (IOException reset) {
                // Closed all the same.
            }
        }
    }

    private static final class Measured extends InputStream {

        private final InputStream in;
        private long left;

        Measured(InputStream in, long length) {
            this.in = in;
            this.left = length;
        }

        @Override
        public int read() throws IOException {
            int next = left == 0 ? -1 : in.read();
            left -= next < 0 ? 0 : 1;
            return next;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            int count = left == 0 ? -1 : in.read(bytes, offset, (int) Math.min(length, left));
            left -= Math.max(count, 0);
            return count;
        }
    }

    private static final class Chunks extends InputStream {

        private final InputStream in;
        private long left;
        private boolean begun;
        private boolean over;

        Chunks(InputStream in) {
            this.in = in;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            if (left == 0 && !over) {
                next();
            }
            int count = over ? -1 : in.read(bytes, offset, (int) Math.min(length, left));
            left -= Math.max(count, 0);
            return count;
        }

        private void next() throws IOException {
            if (begun) {
                line(in);
            }
            begun = true;
            String size = line(in);
            left = Long.parseLong(size.isEmpty() ? "0" : size, 16);
            over = left == 0;
            while (over && !line(in).isEmpty()) {
                // A trailer.
            }
        }
    }
}
