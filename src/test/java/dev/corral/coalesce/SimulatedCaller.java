package dev.corral.coalesce;

import dev.corral.coalesce.Page.Nature;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.coalesce.SimulatedOrigin.Fetch;
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
final class SimulatedCaller implements Ask<String, Page> {

    /** After so many answers that did not serve, the edge stops asking. */
    private static final int ROUNDS = 4;
    private static final Duration MARKER_LIFE = Duration.ofMinutes(2);
    private static final Duration STALE_WINDOW = Duration.ofSeconds(10);

    final int id;
    final SimulatedReplica replica;
    final String key;
    final Duration patience;
    /** What the coalescer said, round by round. */
    final List<Outcome<Page>> outcomes = new ArrayList<>();
    /** What the caller got; more than one is a defect. */
    final List<Page> got = new ArrayList<>();
    final List<Throwable> broken = new ArrayList<>();
    final long sentAt;
    /** When the replica took it up; negative before. */
    long arrivedAt = -1;
    long endedAt = -1;
    boolean left;
    /** Whether it asked so often in vain that it fetched for itself. */
    boolean gaveUp;
    /** The fetches this caller caused. */
    final List<Integer> fetches = new ArrayList<>();
    int offers;
    /** Whether it asks again after the first failure it is told of. */
    boolean insists;
    /** When it did; before that, when it came. */
    long insistedAt = -1;
    /** The failures it was told of. */
    final List<Integer> failures = new ArrayList<>();
    boolean servedStale;
    private Optional<Page> own = Optional.empty();
    private Disposable waiting = Disposables.disposed();

    SimulatedCaller(int id, SimulatedReplica replica, String key, Duration patience) {
        this.id = id;
        this.replica = replica;
        this.key = key;
        this.patience = patience;
        this.sentAt = replica.world.now();
    }

    void arrive() {
        arrivedAt = replica.world.now();
        insistedAt = arrivedAt;
        note("arrives at " + replica.name);
        waiting = round(1).subscribe(this::end, broken::add);
    }

    void leave() {
        replica.process.schedule(() -> {
            left |= got.isEmpty();
            waiting.dispose();
        });
    }

    boolean ended() {
        return endedAt >= 0;
    }

    /** How long it took; only of those who have ended. */
    Duration took() {
        return Duration.ofNanos(endedAt - arrivedAt);
    }

    @Override
    public String key() {
        return key;
    }

    @Override
    public Duration patience() {
        return patience;
    }

    @Override
    public boolean accepts(Page page, boolean awaited) {
        boolean usable = page.nature() == Nature.MARKER || awaited || page.freshUntil() > replica.world.now();
        return usable && !replica.purged(page);
    }

    @Override
    public Mono<Filled<String, Page>> fill(Optional<Page> seen, long position) {
        return ask(position, true).map(this::filled);
    }

    private Mono<Page> round(int round) {
        if (round > ROUNDS) {
            note("has asked often enough");
            gaveUp = true;
            return alone();
        }
        return replica.coalescer.join(this).doOnNext(outcomes::add).flatMap(outcome -> switch (outcome) {
            case Outcome.Landed<Page>(Page page, String version, Outcome.Role role, boolean stored) ->
                accepts(page, role != Outcome.Role.LOOKED)
                        ? serve(page, version)
                        : round(round + 1);
            case Outcome.Released<Page> released -> own.map(Mono::just).orElseGet(this::alone);
            case Outcome.Failed<Page>(Page failure, Optional<Page> stale) -> told(failure, stale);
            case Outcome.Crowded<Page> crowded -> Mono.just(new Page(key, Nature.CROWDED, 0, 0, 0, 0, 0));
        });
    }

    /** A marker sends everybody off; whose own answer turns out to be for all offers it in the marker's place. */
    private Mono<Page> serve(Page page, String version) {
        return page.nature() == Nature.MARKER
                ? alone().doOnNext(answer -> offer(answer, version))
                : Mono.just(page);
    }

    private void offer(Page answer, String version) {
        if (answer.nature() == Nature.SHARED) {
            offers++;
            replica.coalescer.offer(key, version, writes(answer)).subscribe(done -> {}, broken::add);
        }
    }

    private List<Write<String, Page>> writes(Page page) {
        return List.of(new Write<>(key, page, replica.world.origin.freshness.plus(STALE_WINDOW)));
    }

    /** Most take it; some come back at once, and a failure they have been told of must not be told to them again. */
    private Mono<Page> told(Page failure, Optional<Page> stale) {
        failures.add(failure.fetch());
        if (insists && failures.size() == 1) {
            note("insists");
            insistedAt = replica.world.now();
            return round(1);
        }
        return Mono.just(stale.filter(this::rescues).orElse(failure));
    }

    private boolean rescues(Page stale) {
        servedStale = stale.nature() != Nature.MARKER && !replica.purged(stale);
        return servedStale;
    }

    private Mono<Page> alone() {
        return ask(replica.position(), false);
    }

    private Mono<Page> ask(long position, boolean inFlight) {
        Fetch fetch = replica.fetch(key, inFlight);
        fetches.add(fetch.id);
        note("leads to fetch " + fetch.id);
        return replica.world.origin.ask(fetch, () -> replica.world.stampsLate ? replica.world.tier.position : position)
                .doOnNext(
                        page -> fetch.shareable = page.nature() == Nature.SHARED || page.nature() == Nature.BORN_STALE);
    }

    private Filled<String, Page> filled(Page page) {
        return switch (page.nature()) {
            case SHARED -> new Filled.Share<>(page, writes(page), true);
            case BORN_STALE -> new Filled.Share<>(page, writes(page), false);
            case PRIVATE -> {
                own = Optional.of(page);
                yield new Filled.Withhold<>(List.of(new Write<>(key, page.as(Nature.MARKER), MARKER_LIFE)));
            }
            case PRIVATE_UNMARKED -> {
                own = Optional.of(page);
                yield new Filled.Withhold<>(List.of());
            }
            case FAILURE, MARKER, CROWDED -> new Filled.Fail<>(page);
        };
    }

    private void end(Page page) {
        got.add(page);
        endedAt = replica.world.now();
        note("got " + page);
    }

    private void note(String what) {
        replica.world.journal.note(() -> "caller " + id + " of " + key + " " + what);
    }
}
