package dev.corral.proxy;

/** A request's body is not chunked as RFC 9112 section 7.1 has it: where it ends is not known. */
final class MalformedBodyException extends IllegalArgumentException {

    private static final long serialVersionUID = 1L;

    MalformedBodyException() {
        super("the chunks of the request's body are malformed");
    }

    @Override
    public synchronized Throwable fillInStackTrace() {
        return this;
    }
}
