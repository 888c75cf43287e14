package dev.corral.fleet;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/** Clients that have sent a request, each on its own connection, and wait. */
record PendingResponses(List<CompletableFuture<FleetResponse>> futures) {

    /** Longer than any time limit of the service: a client that waits longer is never served. */
    private static final Duration RESPONSE_TIMEOUT = Duration.ofSeconds(40);

    /** Both. */
    PendingResponses plus(PendingResponses others) {
        return new PendingResponses(Stream.concat(futures.stream(), others.futures.stream()).toList());
    }

    /** The responses in the order of the requests. */
    List<FleetResponse> awaitAll() {
        CompletableFuture<?>[] each = futures.toArray(CompletableFuture[]::new);
        try {
            CompletableFuture.allOf(each).get(RESPONSE_TIMEOUT.toSeconds(), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            throw new AssertionError(pendingCount() + " of " + futures.size() + " clients have no answer", e);
        } catch (ExecutionException e) {
            throw new AssertionError("a client got no answer", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
        return futures.stream().map(CompletableFuture::join).toList();
    }

    /** The only one's. */
    FleetResponse awaitFirst() {
        return awaitAll().getFirst();
    }

    /** The number of clients without a response whose connection is open. */
    long pendingCount() {
        return futures.stream().filter(reply -> !reply.isDone()).count();
    }

    /** Closes all connections. */
    void disconnect() {
        futures.forEach(reply -> reply.cancel(true));
    }
}
