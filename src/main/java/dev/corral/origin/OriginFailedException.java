package dev.corral.origin;

import io.netty.channel.ConnectTimeoutException;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.PrematureChannelClosureException;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import org.springframework.web.reactive.function.client.WebClientRequestException;
import reactor.netty.channel.AbortedException;

/** The origin gave no answer that can be used. The message names the route and no address; the cause may name more. */
public final class OriginFailedException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** What went wrong, as far as one can tell from here. */
    public enum Reason {

        /** No connection, or one that was closed before an answer began. */
        UNREACHABLE("cannot be reached"),

        /** Not done within the timeout. */
        TIMED_OUT("did not answer in time"),

        /** The answer began and did not come to its end. */
        TRUNCATED("broke off in the middle of its answer"),

        /** What came is not HTTP/1.1, or framed in a way one cannot rely on, or a response to a request of another kind. */
        MALFORMED("sent an answer that is not valid HTTP");

        private final String description;

        Reason(String words) {
            this.description = words;
        }
    }

    private final Reason reason;

    /** Without a cause: nothing was thrown, it was found out. */
    public OriginFailedException(Reason reason, String origin) {
        super("origin " + origin + " " + reason.description, null, false, false);
        this.reason = reason;
    }

    /** For what was thrown. */
    public OriginFailedException(Reason reason, String origin, Throwable cause) {
        super("origin " + origin + " " + reason.description, cause, false, false);
        this.reason = reason;
    }

    /** What went wrong. */
    public Reason reason() {
        return reason;
    }

    /**
     * The stack's error in this room's words; one that says nothing about the origin is given back as it is.
     *
     * @param answering whether any byte of the answer had come
     */
    static Throwable translate(Throwable error, String origin, boolean answering) {
        return switch (error) {
            case WebClientRequestException wrapped ->
                Optional.ofNullable(wrapped.getCause()).map(cause -> translate(cause, origin, answering)).orElse(error);
            case RequestBody.RequestBodyException broken -> broken.reason();
            // A connection that cannot be had in time is an answer that is late: one of the two timers is only quicker.
            case ConnectTimeoutException late -> new OriginFailedException(Reason.TIMED_OUT, origin, late);
            case TimeoutException late -> new OriginFailedException(Reason.TIMED_OUT, origin, late);
            case OriginHttpCodec.MalformedResponseException malformed ->
                new OriginFailedException(Reason.MALFORMED, origin, malformed);
            case DecoderException tls when tls.getCause() instanceof IOException lost ->
                connectionLost(lost, origin, answering);
            case IOException lost -> connectionLost(lost, origin, answering);
            case AbortedException lost -> connectionLost(lost, origin, answering);
            case PrematureChannelClosureException lost -> connectionLost(lost, origin, answering);
            default -> error;
        };
    }

    private static OriginFailedException connectionLost(Throwable cause, String origin, boolean answering) {
        return new OriginFailedException(answering ? Reason.TRUNCATED : Reason.UNREACHABLE, origin, cause);
    }
}
