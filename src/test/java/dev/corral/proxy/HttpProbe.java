package dev.corral.proxy;

import dev.corral.http.HeaderFields;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One client connection, on a raw socket: sends what it is told and sees what comes, byte for byte. */
final class HttpProbe implements AutoCloseable {

    /** Longer than any bound of the settings under test. */
    private static final Duration READ_TIMEOUT = Duration.ofSeconds(15);

    /**
     * An answer as it came.
     *
     * @param complete false when the connection ended before the body's proper end
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record ProbeResponse(int status, HeaderFields fields, byte[] body, boolean complete) {

        private static final Pattern REASON = Pattern.compile("\"reason\":\"([^\"]*)\"");

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }

        /** All lines of the field, joined; empty when it is absent. */
        String field(String name) {
            return fields.combinedValue(name).orElse("");
        }

        /** The member this cache added: the last line. */
        String cacheStatus() {
            List<String> lines = fields.values("Cache-Status");
            return lines.isEmpty() ? "" : lines.getLast();
        }

        boolean isHit() {
            return cacheStatus().startsWith("Corral; hit");
        }

        boolean isCollapsed() {
            return cacheStatus().contains("; collapsed");
        }

        long age() {
            return Long.parseLong(field("Age"));
        }

        /** The reason of a problem of Corral's own. */
        String reason() {
            Matcher matcher = REASON.matcher(text());
            return field("Content-Type").equals("application/problem+json") && matcher.find() ? matcher.group(1) : "";
        }
    }

    private final Socket socket;
    private final InputStream input;

    HttpProbe(int port) throws IOException {
        this(port, 64 * 1024);
    }

    /** @param window how many bytes the kernel takes for a client that does not read, more or less */
    HttpProbe(int port, int window) throws IOException {
        socket = new Socket();
        socket.setReceiveBufferSize(window);
        socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        socket.setTcpNoDelay(true);
        socket.setSoTimeout((int) READ_TIMEOUT.toMillis());
        input = new BufferedInputStream(socket.getInputStream());
    }

    /** Sends these characters as bytes, as they are. */
    HttpProbe send(String text) throws IOException {
        return send(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    HttpProbe send(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
        socket.getOutputStream().flush();
        return this;
    }

    /** Sends a request with a Host, and an empty line after it. */
    HttpProbe request(String method, String target, String... fields) throws IOException {
        var head = new StringBuilder(method + " " + target + " HTTP/1.1\r\n");
        HeaderFields all = HeaderFields.of(fields);
        if (!all.has("Host")) {
            head.append("Host: client.example\r\n");
        }
        all.forEach(field -> head.append(field.name()).append(": ").append(field.value()).append("\r\n"));
        return send(head.append("\r\n").toString());
    }

    /** Reads the answer to a request that was no HEAD. */
    ProbeResponse read() throws IOException {
        return read("GET");
    }

    /** Reads the answer to a request of that method. */
    ProbeResponse read(String method) throws IOException {
        ProbeResponseHead head = readHead();
        while (head.status >= 100 && head.status < 200) {
            head = readHead();
        }
        var body = new ByteArrayOutputStream();
        boolean whole = method.equals("HEAD") || head.status == 204 || head.status == 304
                || readBody(head.fields, body);
        return new ProbeResponse(head.status, head.fields, body.toByteArray(), whole);
    }

    /** Reads the next head, be it that of an interim answer. */
    ProbeResponse readInterim() throws IOException {
        ProbeResponseHead head = readHead();
        return new ProbeResponse(head.status, head.fields, new byte[0], true);
    }

    private record ProbeResponseHead(int status, HeaderFields fields) {}

    private ProbeResponseHead readHead() throws IOException {
        String line = readLine();
        if (line.isEmpty()) {
            throw new IOException("the connection was closed before an answer");
        }
        HeaderFields fields = HeaderFields.EMPTY;
        for (String field = readLine(); !field.isEmpty(); field = readLine()) {
            int colon = field.indexOf(':');
            fields = fields.plus(field.substring(0, colon), field.substring(colon + 1).strip());
        }
        return new ProbeResponseHead(Integer.parseInt(line, 9, 12, 10), fields);
    }

    private boolean readBody(HeaderFields fields, ByteArrayOutputStream body) throws IOException {
        try {
            if (fields.combinedValue("Transfer-Encoding").orElse("").equals("chunked")) {
                return readChunks(body);
            }
            long length = fields.firstValue("Content-Length").map(Long::parseLong).orElse(Long.MAX_VALUE);
            long read = copy(length, body);
            return read == length || length == Long.MAX_VALUE;
        } catch (SocketTimeoutException stuck) {
            throw stuck;
        } catch (IOException reset) {
            return false;
        }
    }

    private boolean readChunks(ByteArrayOutputStream body) throws IOException {
        while (true) {
            String size = readLine();
            if (size.isEmpty()) {
                return false;
            }
            long length = Long.parseLong(size, 16);
            if (copy(length, body) < length) {
                return false;
            }
            if (length == 0) {
                while (!readLine().isEmpty()) {
                    // Trailers: none are expected, none are merged.
                }
                return true;
            }
            readLine();
        }
    }

    private long copy(long length, ByteArrayOutputStream body) throws IOException {
        byte[] buffer = new byte[64 * 1024];
        long copied = 0;
        while (copied < length) {
            int count = input.read(buffer, 0, (int) Math.min(buffer.length, length - copied));
            if (count < 0) {
                return copied;
            }
            body.write(buffer, 0, count);
            copied += count;
        }
        return copied;
    }

    private String readLine() throws IOException {
        var line = new ByteArrayOutputStream();
        for (int next = input.read(); next >= 0 && next != '\n'; next = input.read()) {
            line.write(next);
        }
        return line.toString(StandardCharsets.ISO_8859_1).replace("\r", "");
    }

    /** Reads until that has come, and returns all up to it. */
    String readUntil(String end) throws IOException {
        var all = new StringBuilder();
        while (all.indexOf(end) < 0) {
            int next = input.read();
            if (next < 0) {
                throw new IOException("closed after: " + all);
            }
            all.append((char) next);
        }
        return all.toString();
    }

    /** Whether the other side closes the connection, having sent nothing more. */
    boolean isClosed() throws IOException {
        try {
            return input.read() < 0;
        } catch (SocketTimeoutException open) {
            throw open;
        } catch (IOException reset) {
            return true;
        }
    }

    /** Everything until the other side closes the connection, or says nothing for that long. */
    String readUntilSilent(int millis) throws IOException {
        socket.setSoTimeout(millis);
        var all = new ByteArrayOutputStream();
        try {
            for (int next = input.read(); next >= 0; next = input.read()) {
                all.write(next);
            }
        } catch (IOException silentOrReset) {
            // That is all there was.
        }
        return all.toString(StandardCharsets.ISO_8859_1);
    }

    /** Everything until the other side closes the connection. */
    String readUntilClosed() throws IOException {
        var all = new ByteArrayOutputStream();
        try {
            for (int next = input.read(); next >= 0; next = input.read()) {
                all.write(next);
            }
        } catch (SocketTimeoutException open) {
            throw open;
        } catch (IOException reset) {
            // Closed all the same.
        }
        return all.toString(StandardCharsets.ISO_8859_1);
    }

    /** Ends the connection with a reset, whatever is on its way. */
    void reset() throws IOException {
        socket.setSoLinger(true, 0);
        socket.close();
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    /** One request on a connection of its own. */
    static ProbeResponse requestOnce(int port, String method, String target, String... fields) throws IOException {
        try (var client = new HttpProbe(port)) {
            return client.request(method, target, fields).read(method);
        }
    }

    /** Something that goes on while the test does something else. */
    static <T> Future<T> async(Callable<T> call) {
        var task = new FutureTask<>(call);
        Thread.ofVirtual().start(task);
        return task;
    }

    /** The same many times, at once. */
    static <T> List<Future<T>> concurrently(int count, Callable<T> call) {
        var all = new ArrayList<Future<T>>();
        for (int i = 0; i < count; i++) {
            all.add(async(call));
        }
        return all;
    }

    static <T> List<T> joinAll(List<Future<T>> all) throws InterruptedException, ExecutionException {
        var results = new ArrayList<T>();
        for (Future<T> one : all) {
            results.add(one.get());
        }
        return results;
    }
}
