package dev.corral.proxy.netty;

import io.netty.buffer.ByteBuf;
import io.netty.util.ByteProcessor;

/**
 * Checks the request lines of a connection against the grammar of RFC 9112 section 3, before Netty's codec reads them. The codec
 * skips control characters and white space before a request, and accepts any white space as a separator within the request line.
 * Other servers do not, and two servers that parse differently allow request smuggling. Only empty lines may precede a request
 * (section 2.2).
 *
 * <p>Only the codec knows where a request ends, and so where the next one begins. The codec therefore gets the bytes in pieces that
 * never extend beyond a possible end of a request: an empty line, which ends a head or a chunked body. The caller handles bodies of
 * a known length. Not thread-safe.
 */
public final class RequestLineScanner implements ByteProcessor {

    private enum State {
        /** Before a request. */
        START,
        /** After a carriage return before a request. */
        START_CR, METHOD, TARGET, VERSION,
        /** After the carriage return behind the version; the line feed must follow. */
        VERSION_CR,
        /** After the request line, up to the end of the request. */
        REST
    }

    private static final String TOKEN_SYMBOLS = "!#$%&'*+-.^_`|~";

    private State state = State.START;
    /** Whether the next byte is the first of a target or a version. */
    private boolean first;
    private boolean malformed;
    /** The last bytes that belong to an empty line: 1 after the line feed before it, 2 after its carriage return. */
    private int emptyLine;

    /** Whether the received bytes are not a valid request line. */
    public boolean isMalformed() {
        return malformed;
    }

    /** The request has ended; the next byte belongs to the next request. */
    public void onRequestEnd() {
        state = State.START;
    }

    /**
     * Returns how many of these bytes may be forwarded: up to {@code limit}, the end of an empty line, or the first malformed byte.
     *
     * @param bytes remain unread: the reader index does not change
     * @param limit the maximum number of bytes to scan
     */
    public int read(ByteBuf bytes, int limit) {
        int begin = bytes.readerIndex();
        int stop = bytes.forEachByte(begin, limit, this);
        if (stop < 0) {
            return limit;
        }
        return stop - begin + (malformed ? 0 : 1);
    }

    /** Whether to continue after this byte: false at the end of an empty line and at a malformed byte. */
    @Override
    public boolean process(byte next) {
        if (state != State.REST) {
            malformed = !accept(next);
            return !malformed;
        }
        boolean end = next == '\n' && emptyLine == 2;
        emptyLine = next == '\n' ? 1 : next == '\r' && emptyLine == 1 ? 2 : 0;
        return !end;
    }

    private boolean accept(byte next) {
        return switch (state) {
            case START -> next == '\r' ? moveTo(State.START_CR) : isTokenCharacter(next) && moveTo(State.METHOD);
            case START_CR -> next == '\n' && moveTo(State.START);
            case METHOD -> next == ' ' ? moveTo(State.TARGET) : isTokenCharacter(next);
            case TARGET -> next == ' ' ? !first && moveTo(State.VERSION) : isVisible(next);
            case VERSION -> next == '\r' ? !first && moveTo(State.VERSION_CR) : isVisible(next);
            case VERSION_CR -> next == '\n' && moveTo(State.REST);
            case REST -> true;
        };
    }

    private boolean moveTo(State next) {
        state = next;
        first = true;
        emptyLine = 1;
        return true;
    }

    private boolean isVisible(byte next) {
        first = false;
        return (next > ' ' && next != 0x7f) || next < 0;
    }

    private static boolean isTokenCharacter(byte next) {
        return (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || (next >= '0' && next <= '9')
                || (next > 0 && TOKEN_SYMBOLS.indexOf(next) >= 0);
    }
}
