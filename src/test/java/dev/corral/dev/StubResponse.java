package dev.corral.dev;

import dev.corral.http.HeaderFields;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.OptionalLong;
import reactor.core.publisher.Flux;

/**
 * The response of an origin stub: status, fields, body, and response time. Without a length the body is sent in chunks; a body that fails
 * closes the connection. Immutable if its body is.
 */
public record StubResponse(int status, HeaderFields fields, Flux<byte[]> body, OptionalLong length, Duration latency) {

    private static final int CHUNK_BYTES = 16 * 1024;

    /** An answer with that text as its body, at once. */
    public static StubResponse of(int status, String text, String... namesAndValues) {
        return of(status, text.getBytes(StandardCharsets.UTF_8), namesAndValues);
    }

    /** An answer with these bytes as its body, at once. */
    public static StubResponse of(int status, byte[] body, String... namesAndValues) {
        return new StubResponse(status, HeaderFields.of(namesAndValues), Flux.just(body), OptionalLong.of(body.length),
                Duration.ZERO);
    }

    /** An answer of that many bytes, made as the connection takes them. */
    public static StubResponse ofSize(long bytes, String... namesAndValues) {
        byte[] chunk = new byte[CHUNK_BYTES];
        for (int i = 0; i < CHUNK_BYTES; i++) {
            chunk[i] = (byte) ('a' + i % 26);
        }
        Flux<byte[]> body = Flux.generate(() -> bytes, (left, sink) -> {
            if (left == 0) {
                sink.complete();
                return 0L;
            }
            int next = (int) Math.min(left, CHUNK_BYTES);
            sink.next(next == CHUNK_BYTES ? chunk : Arrays.copyOf(chunk, next));
            return left - next;
        });
        return new StubResponse(200, HeaderFields.of(namesAndValues), body, OptionalLong.of(bytes), Duration.ZERO);
    }

    /** This answer, after that time. */
    public StubResponse delayedBy(Duration time) {
        return new StubResponse(status, fields, body, length, time);
    }

    /** This answer with one more field line. */
    public StubResponse withField(String name, String value) {
        return new StubResponse(status, fields.plus(name, value), body, length, latency);
    }

    /** This answer without saying its length: sent in chunks. */
    public StubResponse chunked() {
        return new StubResponse(status, fields, body, OptionalLong.empty(), latency);
    }

    /** This answer with another body, of unknown length. */
    public StubResponse withBody(Flux<byte[]> other) {
        return new StubResponse(status, fields, other, OptionalLong.empty(), latency);
    }
}
