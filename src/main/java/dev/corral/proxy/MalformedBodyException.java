package dev.corral.proxy;

/** The body of a request violates the chunked coding of RFC 9112 section 7.1, so its end is unknown. */
final class MalformedBodyException extends IllegalArgumentException {

    private static final long serialVersionUID = 1L;

    MalformedBodyException() {
        super("the chunked request body is malformed");
    }

    @Override
    public synchronized Throwable fillInStackTrace() {
        return this;
    }
}
