package dev.corral.dev;

import java.io.BufferedInputStream;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.StringJoiner;

/** One plain connection to a Redis, for inline commands, independent of the clients that are under test. Not thread-safe. */
final class RedisInlineConnection implements Closeable {

    private static final int TIMEOUT_MILLIS = 5_000;

    private final Socket socket;
    private final InputStream in;

    RedisInlineConnection(int port) throws IOException {
        socket = new Socket();
        socket.setSoTimeout(TIMEOUT_MILLIS);
        socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), TIMEOUT_MILLIS);
        in = new BufferedInputStream(socket.getInputStream());
    }

    /**
     * The reply to one command line, with the elements of an array on separate lines.
     *
     * @throws IllegalStateException when the reply is an error
     */
    String execute(String command) throws IOException {
        socket.getOutputStream().write((command + "\r\n").getBytes(StandardCharsets.UTF_8));
        return readReply();
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    private String readReply() throws IOException {
        String line = readLine();
        String rest = line.substring(1);
        return switch (line.charAt(0)) {
            case '+', ':' -> rest;
            case '-' -> throw new IllegalStateException(rest);
            case '$' -> readBulk(Integer.parseInt(rest));
            case '*' -> readArray(Integer.parseInt(rest));
            default -> throw new IOException("not an answer of Redis: " + line);
        };
    }

    private String readBulk(int length) throws IOException {
        if (length < 0) {
            return "";
        }
        byte[] bulk = in.readNBytes(length);
        in.skipNBytes(2);
        return new String(bulk, StandardCharsets.UTF_8);
    }

    private String readArray(int length) throws IOException {
        var lines = new StringJoiner("\n");
        for (int i = 0; i < length; i++) {
            lines.add(readReply());
        }
        return lines.toString();
    }

    private String readLine() throws IOException {
        var line = new StringBuilder();
        for (int c = in.read(); c != '\r'; c = in.read()) {
            if (c < 0) {
                throw new EOFException("the connection was closed");
            }
            line.append((char) c);
        }
        in.skipNBytes(1);
        return line.toString();
    }
}
