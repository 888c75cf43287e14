package dev.corral.dev;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads one HTTP/1.1 response at a time from incoming bytes (RFC 9112 sections 6 and 7): by length, in chunks, or to the end of the
 * connection. It must be cheap, because it shares its cores with the measured processes. Not thread-safe.
 */
final class HttpResponseReader {

    private static final Pattern LENGTH = Pattern.compile("(?im)^content-length:\\s*(\\d+)\\s*$");
    private static final Pattern CHUNKED = Pattern.compile("(?im)^transfer-encoding:.*\\bchunked\\s*$");
    private static final Pattern CLOSING = Pattern.compile("(?im)^connection:.*\\bclose\\b.*$");

    private enum Framing {
        LENGTH, CHUNKS, END
    }

    private byte[] bytes = new byte[4096];
    private int size;
    private int scanned;
    private int bodyStart;
    private int bodyEnd;
    private int status;
    private boolean connectionClose;
    private String head = "";
    private Framing framing = Framing.END;

    HttpResponseReader() {
        reset();
    }

    /** Forgets what was read. */
    void reset() {
        size = 0;
        startHead(0);
    }

    /** Takes the buffer's bytes; true when the answer is complete. */
    boolean append(ByteBuffer from) {
        int more = from.remaining();
        if (size + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, size + more));
        }
        from.get(bytes, size, more);
        size += more;
        return complete();
    }

    /** Whether the end of the connection completes the answer. */
    boolean isCompleteAtEndOfStream() {
        return bodyStart > 0 && framing == Framing.END;
    }

    /** Whether the server will close the connection after this answer. */
    boolean isClosing() {
        return connectionClose || framing == Framing.END;
    }

    int status() {
        return status;
    }

    String head() {
        return head;
    }

    /** The body, without its framing. */
    byte[] body() {
        return switch (framing) {
            case LENGTH -> Arrays.copyOfRange(bytes, bodyStart, bodyEnd);
            case END -> Arrays.copyOfRange(bytes, bodyStart, size);
            case CHUNKS -> unchunked();
        };
    }

    private boolean complete() {
        if (bodyStart == 0 && !readHead()) {
            return false;
        }
        return switch (framing) {
            case LENGTH -> size >= bodyEnd;
            case CHUNKS -> walkChunks();
            case END -> false;
        };
    }

    private boolean readHead() {
        int end = indexOfBlankLine();
        if (end < 0) {
            return false;
        }
        head = new String(bytes, scanned, end - scanned, StandardCharsets.ISO_8859_1);
        status = Integer.parseInt(head.substring(9, 12));
        if (status < 200) {
            startHead(end + 4);
            return readHead();
        }
        frame(end + 4);
        return true;
    }

    private void frame(int start) {
        bodyStart = start;
        connectionClose = CLOSING.matcher(head).find();
        Matcher length = LENGTH.matcher(head);
        if (status == 204 || status == 304) {
            framing = Framing.LENGTH;
            bodyEnd = start;
        } else if (CHUNKED.matcher(head).find()) {
            framing = Framing.CHUNKS;
            bodyEnd = start;
        } else if (length.find()) {
            framing = Framing.LENGTH;
            bodyEnd = start + Integer.parseInt(length.group(1));
        } else {
            framing = Framing.END;
        }
    }

    private void startHead(int at) {
        scanned = at;
        bodyStart = 0;
        bodyEnd = 0;
        status = 0;
        connectionClose = false;
    }

    private int indexOfBlankLine() {
        for (int i = scanned; i + 3 < size; i++) {
            if (bytes[i] == '\r' && bytes[i + 1] == '\n' && bytes[i + 2] == '\r' && bytes[i + 3] == '\n') {
                return i;
            }
        }
        return -1;
    }

    /** Moves {@code bodyEnd} past the whole chunks that are here; true after the last one. Trailers are not expected. */
    private boolean walkChunks() {
        while (true) {
            int line = indexOfLineEnd(bodyEnd);
            if (line < 0) {
                return false;
            }
            int length = chunkLength(bodyEnd, line);
            int next = line + 2 + length + 2;
            if (next > size) {
                return false;
            }
            bodyEnd = next;
            if (length == 0) {
                return true;
            }
        }
    }

    private byte[] unchunked() {
        var body = ByteBuffer.allocate(size);
        int at = bodyStart;
        while (at < bodyEnd) {
            int line = indexOfLineEnd(at);
            int length = chunkLength(at, line);
            body.put(bytes, line + 2, length);
            at = line + 2 + length + 2;
        }
        return Arrays.copyOf(body.array(), body.position());
    }

    private int chunkLength(int from, int lineEnd) {
        String line = new String(bytes, from, lineEnd - from, StandardCharsets.ISO_8859_1).toLowerCase(Locale.ROOT);
        return Integer.parseInt(line.split(";", 2)[0].strip(), 16);
    }

    private int indexOfLineEnd(int from) {
        for (int i = from; i + 1 < size; i++) {
            if (bytes[i] == '\r' && bytes[i + 1] == '\n') {
                return i;
            }
        }
        return -1;
    }
}
