package dev.corral.edge;

/** A request's body is not chunked as RFC 9112 section 7.1 has it: where it ends is not known. */
public final class MalformedBodyException extends IllegalArgumentException {

    private static final long serialVersionUID = 1L;

    public MalformedBodyException() {
        super("the chunks of the request's body are malformed");
    }

    @Override
    public synchronized Throwable fillInStackTrace() {
        return this;
    }
}
