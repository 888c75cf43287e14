package dev.corral.coalesce;

import dev.corral.coalesce.SimulatedResponse.ResponseKind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/** The origin, in virtual time: contents that change, answers of every nature, and the record of who asked when. */
final class SimulatedOrigin {

    /**
     * How it treats one request.
     *
     * @param latency from the request to the answer; the content is read half-way
     */
    record OriginReply(ResponseKind kind, Duration latency) {}

    /** One request, from the origin's side. */
    static final class SimulatedFetch {

        final int id;
        final String key;
        final VirtualProcess process;
        /** Whether a flight asks, rather than a caller for itself. */
        final boolean inFlight;
        final long startedAt;
        /** Whether the one who asks had the lease of the key, and nobody has begun after it. */
        boolean leased;
        /** Whether another leader was asking already, or what it is for was there. */
        boolean needless;
        boolean open = true;
        /** When it failed; negative while it has not. */
        long failedAt = -1;
        /** Whether its answer reached the one who asked, and may be shared. */
        boolean shareable;

        SimulatedFetch(int id, String key, VirtualProcess process, boolean inFlight, long startedAt) {
            this.id = id;
            this.key = key;
            this.process = process;
            this.inFlight = inFlight;
            this.startedAt = startedAt;
        }
    }

    /** How long the one who asks waits: the bound of a fetch. */
    static final Duration FETCH_TIMEOUT = Duration.ofSeconds(5);
    /** How long a shared answer is fresh. */
    final Duration freshness;

    private final Scheduler time;
    private final SimulationLog log;
    private final Map<String, Integer> contentVersions = new HashMap<>();

    final List<SimulatedFetch> fetches = new ArrayList<>();
    Function<String, OriginReply> replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofMillis(120));

    SimulatedOrigin(Scheduler time, SimulationLog journal, Duration freshness) {
        this.time = time;
        this.log = journal;
        this.freshness = freshness;
    }

    int contentVersion(String key) {
        return contentVersions.getOrDefault(key, 1);
    }

    void changeContent(String key) {
        contentVersions.merge(key, 2, (content, two) -> content + 1);
        log.log(() -> "origin: " + key + " is now " + contentVersion(key));
    }

    /** All requests for the key. */
    long fetchCount(String key) {
        return fetches.stream().filter(fetch -> fetch.key.equals(key)).count();
    }

    /** Whether a flight of the process has a request for the key under way. */
    boolean isFetching(String key, VirtualProcess process) {
        return fetches.stream().anyMatch(f -> f.open && f.inFlight && f.key.equals(key) && f.process == process);
    }

    /** Whether a leader has a request for the key under way; from now on it counts no more, for another one begins. */
    boolean overtake(String key) {
        List<SimulatedFetch> rivals = fetches.stream().filter(f -> f.open && f.leased && f.key.equals(key)).toList();
        rivals.forEach(rival -> rival.leased = false);
        return !rivals.isEmpty();
    }

    /**
     * Asks. Emits a page in any case, within the budget.
     *
     * @param position called when the page is made, to stamp it
     */
    Mono<SimulatedResponse> fetch(SimulatedFetch fetch, Supplier<Long> position) {
        OriginReply reply = replyFor.apply(fetch.key);
        log.log(() -> "origin: fetch " + fetch.id + " of " + fetch.key + (fetch.inFlight ? "" : ", alone"));
        return Mono.<SimulatedResponse>create(sink -> {
            long half = reply.latency().toNanos() / 2;
            time.schedule(() -> {
                int content = contentVersion(fetch.key);
                time.schedule(() -> {
                    fetch.open = false;
                    fetch.process.schedule(() -> sink.success(response(fetch, reply.kind(), content, position.get())));
                }, half, TimeUnit.NANOSECONDS);
            }, half, TimeUnit.NANOSECONDS);
        })
                .timeout(FETCH_TIMEOUT,
                        Mono.fromSupplier(() -> response(fetch, ResponseKind.FAILURE, 0, position.get())),
                        fetch.process)
                .doOnNext(page -> end(fetch, page));
    }

    private static void end(SimulatedFetch fetch, SimulatedResponse page) {
        fetch.open = false;
        if (page.kind() == ResponseKind.FAILURE) {
            fetch.failedAt = page.receivedAt();
        }
    }

    SimulatedFetch beginFetch(String key, VirtualProcess process, boolean inFlight) {
        SimulatedFetch fetch = new SimulatedFetch(fetches.size() + 1, key, process, inFlight,
                time.now(TimeUnit.NANOSECONDS));
        fetches.add(fetch);
        return fetch;
    }

    private SimulatedResponse response(SimulatedFetch fetch, ResponseKind nature, int content, long position) {
        long now = time.now(TimeUnit.NANOSECONDS);
        SimulatedResponse page = new SimulatedResponse(fetch.key, nature, content, position, fetch.id, now,
                nature == ResponseKind.SHARED ? now + freshness.toNanos() : now);
        log.log(() -> "origin: fetch " + fetch.id + " gave " + page);
        return page;
    }
}
