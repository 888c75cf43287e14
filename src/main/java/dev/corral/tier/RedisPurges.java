package dev.corral.tier;

import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.coalesce.Purges;
import dev.corral.tier.PurgeLog.Given;
import dev.corral.tier.PurgeLog.Page;
import dev.corral.tier.PurgeLog.Purge;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;

/**
 * The fleet's purges: written to the {@link PurgeLog} in Redis, mirrored in this process. Thread-safe.
 *
 * <p>The mirror hears of each purge by a message, and reads the log twice a second whether or not it has heard anything. A
 * message that does not follow on what is known here means that another was lost: the log is read at once. When Redis was away,
 * its log is read whole before the {@link RedisGate} opens.
 *
 * <p>A failover may take back purges that were acknowledged. A replica that knows positions the log does not have writes their
 * names to it again.
 *
 * <p>The same look compares this machine's clock with Redis'.
 */
public final class RedisPurges implements Purges, AutoCloseable {

    /** Where leaders read the position, in a slot of its own. */
    static final String POSITION = "corral:{purge}:seq";

    private static final Logger log = LoggerFactory.getLogger(RedisPurges.class);

    private static final Duration LOOK = Duration.ofMillis(500);
    // One look may be late, or lost.
    private static final Duration CURRENT = Duration.ofSeconds(1);
    // Entries are at most as old as this when they are filled, stored and read with clocks that are not quite alike.
    private static final Duration MARGIN = Duration.ofHours(1);
    // About 50 MB when the names are long.
    private static final int MIRRORED = 250_000;

    private final RedisConnections connections;
    private final RedisGate gate;
    private final Duration keep;
    private final Scheduler scheduler;
    private final Ticker ticker;
    private final Clock machine;
    private final FleetTime time;
    private final PurgeMirror mirror;
    private final Sinks.Many<Boolean> gaps = Sinks.many().multicast().directBestEffort();
    private final Disposable.Swap looking = Disposables.swap();

    private long read; // guarded by this; the position up to which nothing of the log is missing here
    private volatile long heard; // nanoseconds of the ticker
    private volatile boolean everHeard;

    /**
     * To be made before the connections are started.
     *
     * @param longestLife of any entry; purges are remembered an hour longer
     * @param scheduler   where the looks are timed
     * @param ticker      tells how long ago the fleet was heard from
     * @param machine     this machine's clock
     */
    public RedisPurges(RedisConnections connections, RedisGate gate, Duration longestLife, Scheduler scheduler,
            Ticker ticker, Clock machine) {
        this.connections = connections;
        this.gate = gate;
        this.keep = longestLife.plus(MARGIN);
        this.scheduler = scheduler;
        this.ticker = ticker;
        this.machine = machine;
        this.time = new FleetTime(machine);
        this.mirror = new PurgeMirror(keep, MIRRORED);
        connections.listen(PurgeLog.CHANNEL, this::hear);
    }

    /** Begins to look at the log, at once and then twice a second. */
    public void start() {
        Flux<Boolean> ticks = Flux.interval(Duration.ZERO, LOOK, scheduler).map(tick -> true);
        looking.update(Flux.merge(ticks, gaps.asFlux())
                .onBackpressureLatest()
                .concatMap(tick -> look(), 1)
                .subscribe(nothing -> {}, broken -> log.error("The purges are no longer mirrored", broken)));
    }

    @Override
    public void close() {
        looking.dispose();
    }

    @Override
    public long position() {
        return mirror.position();
    }

    @Override
    public boolean current() {
        return everHeard && ticker.read() - heard < CURRENT.toNanos();
    }

    @Override
    public boolean purged(List<String> names, long position) {
        return mirror.purged(names, position);
    }

    /**
     * {@inheritDoc} It costs the same whatever it hits. At most 1,000 names, none with a control character in it.
     */
    @Override
    public Mono<Long> purge(List<String> names) {
        if (names.isEmpty() || names.size() > PurgeLog.NAMES) {
            return Mono.error(new IllegalArgumentException(
                    "a purge names 1 to " + PurgeLog.NAMES + " things, not " + names.size()));
        }
        if (names.stream().anyMatch(name -> name.chars().anyMatch(Character::isISOControl))) {
            return Mono.error(new IllegalArgumentException("a name has a control character"));
        }
        return write(names).map(Given::position);
    }

    /** The clock all replicas agree on, to within half a round trip to Redis. */
    public Clock fleetClock() {
        return time.withZone(ZoneOffset.UTC);
    }

    /** What the fleet's clock adds to this machine's. */
    public Duration clockOffset() {
        return time.offset();
    }

    /** Names in this replica's mirror. */
    public int mirrored() {
        return mirror.size();
    }

    private Mono<Given> write(List<String> names) {
        return gate.guard(Mono.defer(() -> PurgeLog.write(connections.control(), names, mirror.position(), keep)))
                .doOnNext(given -> apply(new Purge(given.position(), names), given.previous()));
    }

    /** On an event loop. */
    private void hear(String message) {
        PurgeLog.told(message).ifPresentOrElse(told -> apply(told.purge(), told.previous()), this::lookNow);
    }

    private void apply(Purge purge, long previous) {
        mirror.purge(purge.names(), purge.position());
        if (!follows(purge, previous)) {
            lookNow();
        }
    }

    /** If not done at once, it is within half a second. */
    private void lookNow() {
        gaps.tryEmitNext(true);
    }

    /** Whether nothing is missing between what had been read and this purge. */
    private synchronized boolean follows(Purge purge, long previous) {
        if (purge.position() <= read) {
            return true;
        }
        if (previous != read || purge.names().isEmpty()) {
            return false;
        }
        read = purge.position();
        heardAt(ticker.read());
        return true;
    }

    private Mono<Void> look() {
        Mono<Void> answers = gate.open() ? Mono.empty() : othersAnswer();
        return answers.then(Mono.defer(() -> readOn(ticker.read())))
                .doOnSuccess(done -> gate.recovered())
                .doOnError(gate::missed)
                // Said by the gate, once; the next look is the retry.
                .onErrorComplete();
    }

    /** Commands may pass again only when every connection serves, not this one alone. */
    private Mono<Void> othersAnswer() {
        Mono<byte[]> bodies = Mono.defer(() -> Mono.fromCompletionStage(connections.bodies().get(POSITION)));
        Mono<Boolean> locks = Mono
                .defer(() -> connections.redisson().reactive().getLock(POSITION + ":lock").isLocked());
        return gate.probe(bodies).then(gate.probe(locks)).then();
    }

    /** Reads the log to its end. */
    private Mono<Void> readOn(long asked) {
        return page().flatMap(page -> missing(page).isEmpty() ? take(page, asked) : assertAgain(page))
                .repeat()
                .takeUntil(finished -> finished)
                .then();
    }

    private Mono<Page> page() {
        return Mono.defer(() -> {
            Instant asked = machine.instant();
            return gate.probe(PurgeLog.read(connections.control(), read()))
                    .doOnNext(page -> time.compare(asked, page.now(), machine.instant()));
        });
    }

    private synchronized long read() {
        return read;
    }

    /** True at the end of the log. */
    private Mono<Boolean> take(Page page, long asked) {
        mirror.raise(page.first());
        page.purges().forEach(purge -> mirror.purge(purge.names(), purge.position()));
        synchronized (this) {
            long last = page.purges().isEmpty() ? page.anchor() : page.purges().getLast().position();
            read = Math.max(read, last);
        }
        if (!page.more()) {
            heardAt(asked);
        }
        return Mono.just(!page.more());
    }

    private void heardAt(long nanos) {
        heard = nanos;
        everHeard = true;
    }

    /** The names this replica knows to be purged at positions the log does not have: a failover has lost them. */
    private List<String> missing(Page page) {
        boolean within = page.mine() >= page.first() && page.mine() != page.anchor();
        return within ? mirror.between(page.anchor(), page.mine()) : List.of();
    }

    /** Then reads on from where the log and this replica last agreed. */
    private Mono<Boolean> assertAgain(Page page) {
        log.warn("Redis has lost purges after {}: this replica writes them again", page.anchor());
        List<String> names = missing(page);
        Mono<Void> written = Flux.fromIterable(names)
                .buffer(PurgeLog.NAMES)
                .concatMap(part -> gate.probe(PurgeLog.write(connections.control(), part, mirror.position(), keep)))
                .then();
        return written.then(Mono.fromSupplier(() -> {
            synchronized (this) {
                read = page.anchor();
            }
            return false;
        }));
    }
}
