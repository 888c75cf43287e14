package dev.corral.origin;

import dev.corral.http.Body;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import org.reactivestreams.Subscription;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Flux;

/** The origin's answer, with any final status: 200 to 999. Interim answers (1xx) are told apart. */
public sealed interface OriginResponse {

    /** The final status and all fields, in the order and case received, hop-by-hop fields among them. */
    ResponseHead head();

    /** When the request was made (RFC 9111 section 4.2.3): at the second try, if there was one. */
    Instant requestTime();

    /** When the head had come. */
    Instant responseTime();

    /** An answer that came to its proper end: as many bytes as Content-Length says, or the last chunk. */
    record Buffered(ResponseHead head, Body body, Instant requestTime,
            Instant responseTime) implements OriginResponse {}

    /**
     * An answer whose body is still on its way, and that holds a connection and a place among those under way until then:
     * subscribe to the body exactly once, or {@link #discard()} it. Unclaimed for the origin's timeout it discards itself.
     *
     * @param body with backpressure; every buffer is the reader's to release. Ends with {@link OriginFailedException} when cut short,
     *        malformed or silent for the origin's timeout (or for the longest pause of a stream), with {@link java.util.concurrent.TimeoutException} when the reader
     *        asks for nothing for a minute. Cancelling closes the connection
     */
    record Streaming(ResponseHead head, Flux<DataBuffer> body, Instant requestTime,
            Instant responseTime) implements OriginResponse {

        /** Closes the connection instead of reading what is left. Without effect on a body that has a reader. */
        public void discard() {
            body.subscribe(new DiscardSubscriber());
        }

        private static final class DiscardSubscriber extends BaseSubscriber<DataBuffer> {

            @Override
            protected void hookOnSubscribe(Subscription subscription) {
                subscription.cancel();
            }

            @Override
            protected void hookOnError(Throwable error) {
                // It has a reader, or had one.
            }
        }
    }
}
