package dev.corral.proxy.netty;

import io.netty.buffer.ByteBuf;
import io.netty.util.ByteProcessor;

/**
 * Reads the request lines of a connection by the grammar of RFC 9112 section 3, before Netty's codec gets them: that one skips control
 * characters and white space in front of a request, and takes any white space for the blanks in its line. Others do not, and two
 * readers that differ see two requests in one. Only empty lines may stand before a request (section 2.2).
 *
 * <p>Where a request begins is known only when the one before it has ended, which the codec says. So bytes are handed to it in pieces
 * that never go beyond a place where a request can end: an empty line, which ends a head or a chunked body. Bodies of a known length
 * are no concern of this. Not thread-safe.
 */
public final class RequestLineScanner implements ByteProcessor {

    private enum State {
        /** Before a request. */
        START,
        /** A carriage return has come before a request. */
        START_CR, METHOD, TARGET, VERSION,
        /** The end of the version, of which the line feed is to come. */
        VERSION_CR,
        /** Whatever follows the line, up to the end of the request. */
        REST
    }

    private static final String SIGNS = "!#$%&'*+-.^_`|~";

    private State state = State.START;
    /** Whether the next byte is the first of a target or a version. */
    private boolean first;
    private boolean malformed;
    /** Bytes of an empty line that have just come: 1 for the line feed before it, 2 for its carriage return. */
    private int emptyLine;

    /** Whether what has come is no request. */
    public boolean isMalformed() {
        return malformed;
    }

    /** The request has ended: what follows is the next one. */
    public void onRequestEnd() {
        state = State.START;
    }

    /**
     * How many of these bytes may be handed on: up to {@code most}, the end of an empty line, or to what is malformed.
     *
     * @param bytes are not read
     */
    public int read(ByteBuf bytes, int most) {
        int begin = bytes.readerIndex();
        int stop = bytes.forEachByte(begin, most, this);
        if (stop < 0) {
            return most;
        }
        return stop - begin + (malformed ? 0 : 1);
    }

    /** Whether to go on behind this byte: not at the end of an empty line, nor at what is malformed. */
    @Override
    public boolean process(byte next) {
        if (state != State.REST) {
            malformed = !takes(next);
            return !malformed;
        }
        boolean end = next == '\n' && emptyLine == 2;
        emptyLine = next == '\n' ? 1 : next == '\r' && emptyLine == 1 ? 2 : 0;
        return !end;
    }

    private boolean takes(byte next) {
        return switch (state) {
            case START -> next == '\r' ? to(State.START_CR) : isOfToken(next) && to(State.METHOD);
            case START_CR -> next == '\n' && to(State.START);
            case METHOD -> next == ' ' ? to(State.TARGET) : isOfToken(next);
            case TARGET -> next == ' ' ? !first && to(State.VERSION) : isVisible(next);
            case VERSION -> next == '\r' ? !first && to(State.VERSION_CR) : isVisible(next);
            case VERSION_CR -> next == '\n' && to(State.REST);
            case REST -> true;
        };
    }

    private boolean to(State next) {
        state = next;
        first = true;
        emptyLine = 1;
        return true;
    }

    private boolean isVisible(byte next) {
        first = false;
        return (next > ' ' && next != 0x7f) || next < 0;
    }

    private static boolean isOfToken(byte next) {
        return (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || (next >= '0' && next <= '9')
                || (next > 0 && SIGNS.indexOf(next) >= 0);
    }
}
