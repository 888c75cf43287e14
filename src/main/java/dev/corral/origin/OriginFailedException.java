package dev.corral.origin;

import io.netty.channel.ConnectTimeoutException;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.PrematureChannelClosureException;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import org.springframework.web.reactive.function.client.WebClientRequestException;
import reactor.netty.channel.AbortedException;

/** The origin sent no usable response. The message names the route but no address; the cause may tell more. */
public final class OriginFailedException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /** The kind of failure, as far as the client can tell. */
    public enum Reason {

        /** No connection was established, or it was closed before the first byte of a response. */
        UNREACHABLE("cannot be reached"),

        /** The response was not complete within the timeout. */
        TIMED_OUT("did not respond in time"),

        /** The response began but did not arrive completely. */
        TRUNCATED("sent an incomplete response"),

        /** The response is not HTTP/1.1, has unreliable framing, or answers a request of another kind. */
        MALFORMED("sent a response that is not valid HTTP");

        private final String description;

        Reason(String description) {
            this.description = description;
        }
    }

    private final Reason reason;

    /** A failure that was detected without an exception. */
    public OriginFailedException(Reason reason, String originId) {
        super("origin " + originId + " " + reason.description, null, false, false);
        this.reason = reason;
    }

    /** A failure that was reported by an exception. */
    public OriginFailedException(Reason reason, String originId, Throwable cause) {
        super("origin " + originId + " " + reason.description, cause, false, false);
        this.reason = reason;
    }

    /** The kind of failure. */
    public Reason reason() {
        return reason;
    }

    /**
     * Translates an error of Netty, Reactor Netty or WebClient. An error that says nothing about the origin is returned unchanged.
     *
     * @param responseStarted whether any byte of the response had arrived
     */
    static Throwable translate(Throwable error, String originId, boolean responseStarted) {
        return switch (error) {
            case WebClientRequestException wrapped ->
                Optional.ofNullable(wrapped.getCause())
                        .map(cause -> translate(cause, originId, responseStarted))
                        .orElse(error);
            case RequestBody.RequestBodyException e -> e.reason();
            // A connect timeout is a late response: which of the two timers fires first makes no difference.
            case ConnectTimeoutException e -> new OriginFailedException(Reason.TIMED_OUT, originId, e);
            case TimeoutException e -> new OriginFailedException(Reason.TIMED_OUT, originId, e);
            case OriginHttpCodec.MalformedResponseException e ->
                new OriginFailedException(Reason.MALFORMED, originId, e);
            case DecoderException wrapper when wrapper.getCause() instanceof IOException e ->
                connectionLost(e, originId, responseStarted);
            case IOException e -> connectionLost(e, originId, responseStarted);
            case AbortedException e -> connectionLost(e, originId, responseStarted);
            case PrematureChannelClosureException e -> connectionLost(e, originId, responseStarted);
            default -> error;
        };
    }

    private static OriginFailedException connectionLost(Throwable cause, String originId, boolean responseStarted) {
        return new OriginFailedException(responseStarted ? Reason.TRUNCATED : Reason.UNREACHABLE, originId, cause);
    }
}
