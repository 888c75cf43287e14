package dev.corral.management.purge;

/** Invalid input of a client. The message names the invalid part and says what is valid. */
final class BadRequestException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    BadRequestException(String message) {
        super(message, null, false, false);
    }
}
