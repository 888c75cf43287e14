package dev.corral.cache;

import dev.corral.http.ResponseHead;
import java.util.Locale;
import java.util.Set;

/** Which responses may have no end: nobody must wait for the end of one. */
public final class StreamDetection {

    /** Media types whose bodies are sequences that a server writes as they come about. */
    private static final Set<String> STREAM_MEDIA_TYPES = Set.of("text/event-stream", "multipart/x-mixed-replace",
            "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
            "application/jsonlines", "application/json-seq", "application/geo+json-seq", "application/stream+json",
            "application/x-json-stream", "application/vnd.api.stream+json", "application/connect+json",
            "application/connect+proto");

    private StreamDetection() {}

    /**
     * Whether the response is declared to be a stream: by its media type, or by {@code X-Accel-Buffering: no}, with which
     * applications tell nginx not to collect a response.
     */
    public static boolean isDeclaredStream(ResponseHead head) {
        return head.fields().values("Content-Type").stream().anyMatch(StreamDetection::isStreamMediaType)
                || head.fields()
                        .values("X-Accel-Buffering")
                        .stream()
                        .anyMatch(value -> value.strip().equalsIgnoreCase("no"));
    }

    /** Whether a response that may be shared may yet have no end: neither a length nor freshness says that there is a whole to keep. */
    public static boolean mayBeStream(ResponseHead head, Storability.Store share) {
        return !head.fields().has("Content-Length") && !share.explicitFreshness()
                && share.freshness().lifetime().isZero();
    }

    private static boolean isStreamMediaType(String contentType) {
        int end = contentType.indexOf(';');
        String type = (end < 0 ? contentType : contentType.substring(0, end)).strip().toLowerCase(Locale.ROOT);
        return STREAM_MEDIA_TYPES.contains(type) || type.equals("application/grpc")
                || type.startsWith("application/grpc+")
                || type.startsWith("application/grpc-web");
    }
}
