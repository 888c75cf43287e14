package dev.corral.fleet;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/** Clients that have asked, each over a connection of its own, and wait. */
record Crowd(List<CompletableFuture<Reply>> replies) {

    /** More than any bound of the service: who waits longer is not served late, but never. */
    private static final Duration PATIENCE = Duration.ofSeconds(40);

    /** Both. */
    Crowd and(Crowd others) {
        return new Crowd(Stream.concat(replies.stream(), others.replies.stream()).toList());
    }

    /** What each of them got, in the order in which they asked. */
    List<Reply> all() {
        CompletableFuture<?>[] each = replies.toArray(CompletableFuture[]::new);
        try {
            CompletableFuture.allOf(each).get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            throw new AssertionError(waiting() + " of " + replies.size() + " clients have no answer", e);
        } catch (ExecutionException e) {
            throw new AssertionError("a client got no answer", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
        return replies.stream().map(CompletableFuture::join).toList();
    }

    /** The only one's. */
    Reply one() {
        return all().getFirst();
    }

    /** How many have neither an answer nor lost their connection. */
    long waiting() {
        return replies.stream().filter(reply -> !reply.isDone()).count();
    }

    /** Everybody closes the connection. */
    void leave() {
        replies.forEach(reply -> reply.cancel(true));
    }
}
