package dev.corral.dev;

import dev.corral.http.Fields;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.OptionalLong;
import reactor.core.publisher.Flux;

/**
 * What an origin stub answers: status, fields, body, and how long it takes over it. Without a length the body is sent in
 * chunks; a body that fails cuts the connection there. Immutable, as far as its body is.
 */
public record Answer(int status, Fields fields, Flux<byte[]> body, OptionalLong length, Duration latency) {

    private static final int CHUNK = 16 * 1024;

    /** An answer with that text as its body, at once. */
    public static Answer of(int status, String text, String... namesAndValues) {
        return of(status, text.getBytes(StandardCharsets.UTF_8), namesAndValues);
    }

    /** An answer with these bytes as its body, at once. */
    public static Answer of(int status, byte[] body, String... namesAndValues) {
        return new Answer(status, Fields.of(namesAndValues), Flux.just(body), OptionalLong.of(body.length),
                Duration.ZERO);
    }

    /** An answer of that many bytes, made as the connection takes them. */
    public static Answer ofSize(long bytes, String... namesAndValues) {
        byte[] chunk = new byte[CHUNK];
        for (int i = 0; i < CHUNK; i++) {
            chunk[i] = (byte) ('a' + i % 26);
        }
        Flux<byte[]> body = Flux.generate(() -> bytes, (left, sink) -> {
            if (left == 0) {
                sink.complete();
                return 0L;
            }
            int next = (int) Math.min(left, CHUNK);
            sink.next(next == CHUNK ? chunk : Arrays.copyOf(chunk, next));
            return left - next;
        });
        return new Answer(200, Fields.of(namesAndValues), body, OptionalLong.of(bytes), Duration.ZERO);
    }

    /** This answer, after that time. */
    public Answer after(Duration time) {
        return new Answer(status, fields, body, length, time);
    }

    /** This answer with one more field line. */
    public Answer with(String name, String value) {
        return new Answer(status, fields.plus(name, value), body, length, latency);
    }

    /** This answer without saying its length: sent in chunks. */
    public Answer chunked() {
        return new Answer(status, fields, body, OptionalLong.empty(), latency);
    }

    /** This answer with another body, of unknown length. */
    public Answer withBody(Flux<byte[]> other) {
        return new Answer(status, fields, other, OptionalLong.empty(), latency);
    }
}
