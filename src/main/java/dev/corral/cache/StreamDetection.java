package dev.corral.cache;

import dev.corral.http.ResponseHead;
import java.util.Locale;
import java.util.Set;

/** Detects responses that may never end. No request must wait for the end of such a response. */
public final class StreamDetection {

    /** Media types of sequences whose elements a server writes as they occur. */
    private static final Set<String> STREAM_MEDIA_TYPES = Set.of("text/event-stream", "multipart/x-mixed-replace",
            "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
            "application/jsonlines", "application/json-seq", "application/geo+json-seq", "application/stream+json",
            "application/x-json-stream", "application/vnd.api.stream+json", "application/connect+json",
            "application/connect+proto");

    private StreamDetection() {}

    /**
     * Whether the response is declared as a stream: by its media type, or by {@code X-Accel-Buffering: no}, by which applications ask
     * nginx not to buffer a response.
     */
    public static boolean isDeclaredStream(ResponseHead head) {
        return head.fields().values("Content-Type").stream().anyMatch(StreamDetection::isStreamMediaType)
                || head.fields()
                        .values("X-Accel-Buffering")
                        .stream()
                        .anyMatch(value -> value.strip().equalsIgnoreCase("no"));
    }

    /** Whether a shareable response may still be a stream: it states neither a length nor a freshness lifetime. */
    public static boolean mayBeStream(ResponseHead head, Storability.Store decision) {
        return !head.fields().has("Content-Length") && !decision.explicitFreshness()
                && decision.freshness().lifetime().isZero();
    }

    private static boolean isStreamMediaType(String contentType) {
        int end = contentType.indexOf(';');
        String type = (end < 0 ? contentType : contentType.substring(0, end)).strip().toLowerCase(Locale.ROOT);
        return STREAM_MEDIA_TYPES.contains(type) || type.equals("application/grpc")
                || type.startsWith("application/grpc+")
                || type.startsWith("application/grpc-web");
    }
}
