package dev.corral.http;

/**
 * Detects responses whose status makes no sense for the request. Such a response belongs to another request and must be neither
 * forwarded nor stored.
 */
public final class UnsolicitedStatus {

    private UnsolicitedStatus() {}

    /**
     * Whether the final status requires a request field that was not sent: 304 without a condition (RFC 9110 section 15.4.5), 206 and
     * 416 without {@code Range} (15.3.7, 15.5.17), 412 without a precondition (15.5.13), 417 without {@code Expect} (15.5.18).
     *
     * <p>For methods other than GET and HEAD only 304 and 206 are checked: applications define their own methods and decide which
     * status a failure has.
     *
     * @param sent the fields sent to the origin
     */
    public static boolean isUnsolicited(String method, HeaderFields sent, int status) {
        boolean isGetOrHead = method.equals("GET") || method.equals("HEAD");
        return switch (status) {
            case 304 -> !(sent.has("If-None-Match") || sent.has("If-Modified-Since"));
            // RFC 7240: Prefer may ask for a partial response.
            case 206 -> !sent.has("Range") && !sent.has("Prefer");
            case 416 -> isGetOrHead && !sent.has("Range");
            case 412 ->
                isGetOrHead && !(sent.has("If-Match") || sent.has("If-Unmodified-Since") || sent.has("If-None-Match")
                        || sent.has("If-Modified-Since") || sent.has("If-Range") || sent.has("If"));
            case 417 -> isGetOrHead && !sent.has("Expect");
            default -> false;
        };
    }
}
