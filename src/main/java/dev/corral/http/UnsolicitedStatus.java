package dev.corral.http;

/** Responses to a question that the request did not ask: they cannot be about it, and must not be passed on or stored. */
public final class UnsolicitedStatus {

    private UnsolicitedStatus() {}

    /**
     * Whether a final status says something that only a request of another kind can be told: 304 without a condition (RFC 9110 section
     * 15.4.5), 206 and 416 without a {@code Range} (15.3.7, 15.5.17), 412 without a precondition (15.5.13), 417 without an
     * {@code Expect} (15.5.18).
     *
     * <p>
     * Of methods other than GET and HEAD only 304 and 206 are judged: applications define methods, and what fails of them, by
     * themselves.
     *
     * @param sent the fields that were sent to the origin
     */
    public static boolean isUnsolicited(String method, HeaderFields sent, int status) {
        boolean reads = method.equals("GET") || method.equals("HEAD");
        return switch (status) {
            case 304 -> !(sent.has("If-None-Match") || sent.has("If-Modified-Since"));
            // RFC 7240: what is preferred may be a part.
            case 206 -> !sent.has("Range") && !sent.has("Prefer");
            case 416 -> reads && !sent.has("Range");
            case 412 -> reads && !(sent.has("If-Match") || sent.has("If-Unmodified-Since") || sent.has("If-None-Match")
                    || sent.has("If-Modified-Since") || sent.has("If-Range") || sent.has("If"));
            case 417 -> reads && !sent.has("Expect");
            default -> false;
        };
    }
}
