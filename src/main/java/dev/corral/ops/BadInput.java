package dev.corral.ops;

/** What somebody sent cannot be taken; the message names it and says what would be right. */
final class BadInput extends RuntimeException {

    private static final long serialVersionUID = 1L;

    BadInput(String message) {
        super(message, null, false, false);
    }
}
