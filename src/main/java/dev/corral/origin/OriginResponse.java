package dev.corral.origin;

import dev.corral.http.Body;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import org.reactivestreams.Subscription;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Flux;

/** The origin's response, with any final status from 200 to 999. Interim responses (1xx) are reported separately. */
public sealed interface OriginResponse {

    /** The status and all fields, in the order and case received, including hop-by-hop fields. */
    ResponseHead head();

    /**
     * A response that arrived completely: as many bytes as its Content-Length, or up to the last chunk.
     *
     * @param requestTime  when the request was sent (RFC 9111 section 4.2.3); after a second attempt, the time of that attempt
     * @param responseTime when the head had arrived
     */
    record Buffered(ResponseHead head, Body body, Instant requestTime,
            Instant responseTime) implements OriginResponse {}

    /**
     * A response whose body is still arriving. Until the body has ended it holds a connection and a permit: its receiver must
     * subscribe to the body exactly once, or {@link #discard()} it. Without a subscriber it discards itself after the origin's timeout.
     *
     * @param body with backpressure; the reader must release every buffer. Fails with {@link OriginFailedException} when the body is
     *        truncated, malformed or silent for the origin's timeout (or for the longest pause of a stream), and with
     *        {@link java.util.concurrent.TimeoutException} when the reader requests nothing for a minute. Cancelling closes the
     *        connection
     * @param requestTime when the request was sent; after a second attempt, the time of that attempt
     */
    record Streaming(ResponseHead head, Flux<DataBuffer> body, Instant requestTime) implements OriginResponse {

        /** Closes the connection instead of reading the body. Without effect when the body has or had a reader. */
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
                // The body has or had a reader.
            }
        }
    }
}
