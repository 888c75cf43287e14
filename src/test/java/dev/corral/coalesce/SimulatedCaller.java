package dev.corral.coalesce;

import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.SimulatedOrigin.SimulatedFetch;
import dev.corral.coalesce.SimulatedResponse.ResponseKind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Mono;

/**
 * A request and the edge that serves it: asks the coalescer, judges what it gets, asks again a few times, and then fetches for
 * itself.
 */
final class SimulatedCaller implements FillRequest<String, SimulatedResponse> {

    /** After so many answers that did not serve, the edge stops asking. */
    private static final int MAX_ATTEMPTS = 4;
    private static final Duration MARKER_TTL = Duration.ofMinutes(2);
    private static final Duration STALE_WINDOW = Duration.ofSeconds(10);

    final int id;
    final SimulatedReplica replica;
    final String key;
    final Duration maxWait;
    /** What the coalescer said, round by round. */
    final List<FlightResult<SimulatedResponse>> outcomes = new ArrayList<>();
    /** What the caller got; more than one is a defect. */
    final List<SimulatedResponse> received = new ArrayList<>();
    final List<Throwable> errors = new ArrayList<>();
    final long sentAt;
    /** When the replica took it up; negative before. */
    long arrivedAt = -1;
    long endedAt = -1;
    boolean disconnected;
    /** Whether it asked so often in vain that it fetched for itself. */
    boolean gaveUp;
    /** The fetches this caller caused. */
    final List<Integer> fetches = new ArrayList<>();
    int offers;
    /** Whether it asks again after the first failure it is told of. */
    boolean retriesAfterFailure;
    /** When it did; before that, when it came. */
    long retriedAt = -1;
    /** The failures it was told of. */
    final List<Integer> failures = new ArrayList<>();
    boolean servedStale;
    private Optional<SimulatedResponse> privateResponse = Optional.empty();
    private Disposable subscription = Disposables.disposed();

    SimulatedCaller(int id, SimulatedReplica replica, String key, Duration patience) {
        this.id = id;
        this.replica = replica;
        this.key = key;
        this.maxWait = patience;
        this.sentAt = replica.world.now();
    }

    void arrive() {
        arrivedAt = replica.world.now();
        retriedAt = arrivedAt;
        log("arrives at " + replica.name);
        subscription = attempt(1).subscribe(this::end, errors::add);
    }

    void disconnect() {
        replica.process.schedule(() -> {
            disconnected |= received.isEmpty();
            subscription.dispose();
        });
    }

    boolean isEnded() {
        return endedAt >= 0;
    }

    /** How long it took; only of those who have ended. */
    Duration duration() {
        return Duration.ofNanos(endedAt - arrivedAt);
    }

    @Override
    public String key() {
        return key;
    }

    @Override
    public Duration maxWait() {
        return maxWait;
    }

    @Override
    public boolean isUsable(SimulatedResponse page, boolean awaited) {
        boolean usable = page.kind() == ResponseKind.MARKER || awaited || page.freshUntil() > replica.world.now();
        return usable && !replica.isPurged(page);
    }

    @Override
    public Mono<FillResult<String, SimulatedResponse>> fill(Optional<SimulatedResponse> seen, long position) {
        return fetch(position, true).map(this::toFillResult);
    }

    private Mono<SimulatedResponse> attempt(int round) {
        if (round > MAX_ATTEMPTS) {
            log("has asked often enough");
            gaveUp = true;
            return fetchAlone();
        }
        return replica.coalescer.join(this).doOnNext(outcomes::add).flatMap(outcome -> switch (outcome) {
            case FlightResult.Value<SimulatedResponse>(SimulatedResponse page, String version, FlightResult.Source role, boolean stored) ->
                isUsable(page, role != FlightResult.Source.FOUND)
                        ? serve(page, version)
                        : attempt(round + 1);
            case FlightResult.Uncoalesced<SimulatedResponse> released ->
                privateResponse.map(Mono::just).orElseGet(this::fetchAlone);
            case FlightResult.FlightFailed<SimulatedResponse>(SimulatedResponse failure, Optional<SimulatedResponse> stale) ->
                onFailure(failure, stale);
            case FlightResult.Rejected<SimulatedResponse> crowded ->
                Mono.just(new SimulatedResponse(key, ResponseKind.REJECTED, 0, 0, 0, 0, 0));
        });
    }

    /** A marker sends everybody off; whose own answer turns out to be for all offers it in the marker's place. */
    private Mono<SimulatedResponse> serve(SimulatedResponse page, String version) {
        return page.kind() == ResponseKind.MARKER
                ? fetchAlone().doOnNext(answer -> offer(answer, version))
                : Mono.just(page);
    }

    private void offer(SimulatedResponse answer, String version) {
        if (answer.kind() == ResponseKind.SHARED) {
            offers++;
            replica.coalescer.tryPublish(key, version, writes(answer)).subscribe(done -> {}, errors::add);
        }
    }

    private List<Write<String, SimulatedResponse>> writes(SimulatedResponse page) {
        return List.of(new Write<>(key, page, replica.world.origin.freshness.plus(STALE_WINDOW)));
    }

    /** Most take it; some come back at once, and a failure they have been told of must not be told to them again. */
    private Mono<SimulatedResponse> onFailure(SimulatedResponse failure, Optional<SimulatedResponse> stale) {
        failures.add(failure.fetch());
        if (retriesAfterFailure && failures.size() == 1) {
            log("insists");
            retriedAt = replica.world.now();
            return attempt(1);
        }
        return Mono.just(stale.filter(this::isUsableStale).orElse(failure));
    }

    private boolean isUsableStale(SimulatedResponse stale) {
        servedStale = stale.kind() != ResponseKind.MARKER && !replica.isPurged(stale);
        return servedStale;
    }

    private Mono<SimulatedResponse> fetchAlone() {
        return fetch(replica.position(), false);
    }

    private Mono<SimulatedResponse> fetch(long position, boolean inFlight) {
        SimulatedFetch fetch = replica.startFetch(key, inFlight);
        fetches.add(fetch.id);
        log("leads to fetch " + fetch.id);
        return replica.world.origin
                .fetch(fetch, () -> replica.world.readsPositionAfterFetch ? replica.world.tier.purgePosition : position)
                .doOnNext(
                        page -> fetch.shareable = page.kind() == ResponseKind.SHARED
                                || page.kind() == ResponseKind.BORN_STALE);
    }

    private FillResult<String, SimulatedResponse> toFillResult(SimulatedResponse page) {
        return switch (page.kind()) {
            case SHARED -> new FillResult.Shared<>(page, writes(page), true);
            case BORN_STALE -> new FillResult.Shared<>(page, writes(page), false);
            case PRIVATE -> {
                privateResponse = Optional.of(page);
                yield new FillResult.NotShareable<>(
                        List.of(new Write<>(key, page.withKind(ResponseKind.MARKER), MARKER_TTL)));
            }
            case PRIVATE_UNMARKED -> {
                privateResponse = Optional.of(page);
                yield new FillResult.NotShareable<>(List.of());
            }
            case FAILURE, MARKER, REJECTED -> new FillResult.FillFailed<>(page);
        };
    }

    private void end(SimulatedResponse page) {
        received.add(page);
        endedAt = replica.world.now();
        log("got " + page);
    }

    private void log(String what) {
        replica.world.log.log(() -> "caller " + id + " of " + key + " " + what);
    }
}
