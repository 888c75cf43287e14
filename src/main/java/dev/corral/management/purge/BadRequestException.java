package dev.corral.management.purge;

/** What somebody sent cannot be taken; the message names it and says what would be right. */
final class BadRequestException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    BadRequestException(String message) {
        super(message, null, false, false);
    }
}
