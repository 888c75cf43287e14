package dev.corral.coalesce;

import dev.corral.coalesce.Filled.Fail;
import dev.corral.coalesce.Filled.Share;
import dev.corral.coalesce.Filled.Withhold;
import dev.corral.coalesce.Flights.Landing;
import dev.corral.coalesce.Outcome.Role;
import dev.corral.coalesce.SharedTier.Attempt;
import dev.corral.coalesce.SharedTier.Ground;
import dev.corral.coalesce.SharedTier.Latch;
import dev.corral.coalesce.SharedTier.Lease;
import dev.corral.coalesce.SharedTier.Published;
import dev.corral.coalesce.SharedTier.Ring;
import dev.corral.coalesce.SharedTier.Seen;
import dev.corral.coalesce.SharedTier.Sight;
import dev.corral.coalesce.SharedTier.Write;
import java.io.Serial;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;

/**
 * At most one fetch per key in flight in the whole fleet; everybody else waits for its answer. Thread-safe.
 *
 * <h2>The algorithm</h2>
 *
 * Look; join the flight of the key in this process. In the flight look again and try to lead. Who leads looks once more, fills,
 * publishes. Who does not, follows: on each ring or tick it looks, or tries to lead. After its patience it fills alone.
 *
 * <h2>Why look again with the lease in hand</h2>
 *
 * <ol>
 * <li>B looks: absent.
 * <li>A, which leads, publishes and gives its lease back.
 * <li>B takes the lease: it is free.
 * <li>Without a second look B would now fetch what A has just stored.
 * </ol>
 *
 * <h2>What is promised when things go wrong</h2>
 *
 * The lease makes a second fetch rare; it does not make it impossible. What makes it harmless is that publish is fenced: it
 * stores only while the lease is still this flight's own.
 * <ul>
 * <li>The leader dies: its lease lapses, a follower finds the key free and takes over.
 * <li>The leader is paused past its lease: likewise; when it wakes its publish is refused. Its own waiters get its answer.
 * <li>Rings are lost: followers look again at every poll.
 * <li>The tier is slow: the flight waits for it, within its patience.
 * <li>The tier is known to be unavailable: the flight is still one per process, and fills without a lease. The response is kept in
 * this process.
 * <li>The lock and the values are on different servers, each of which is living: no flight waits for a lock that the values' server
 * does not have; it fills without a lease, as when the tier is unavailable.
 * <li>The fetch fails: everybody who waited is told, once. The flight is gone before anybody hears of it, and the failure is
 * handed to nobody who comes later.
 * <li>The answer is for one request only: all others, in all replicas, are released at once, to fetch in parallel.
 * <li>A caller leaves: nothing happens. The flight ends by its own bounds.
 * </ul>
 *
 * <p>What is not promised: that the one who opened the flight gets a different treatment from those who boarded, or that a
 * value still serves a caller when it lands. Callers judge what they get, and may ask again.
 */
public final class Coalescer<K, V> {

    /**
     * How long those who wait here may wait for the write as well, to be told truthfully whether the value is stored: a round trip,
     * and one lost packet.
     */
    private static final Duration STORED_WAIT = Duration.ofMillis(250);

    /** The pause before a lock is tried again that has just been said to be free and was not; doubled each time. */
    private static final Duration FIRST_PAUSE = Duration.ofMillis(25);

    /** Renewals of one lease on their way at a time: each is sent whether or not the one before has a reply. */
    private static final int RENEWALS = 16;

    /** So often in a row may a lock be refused by one side of the tier and unknown to the other: by then it is no coincidence. */
    private static final int CONTRADICTIONS = 5;

    /** The patience of a flight is at its end while a step of the tier is still awaited. */
    private static final class OutOfPatience extends RuntimeException {

        @Serial
        private static final long serialVersionUID = 1;

        OutOfPatience() {
            super("the flight's patience is at its end", null, false, false);
        }
    }

    private final SharedTier<K, V> tier;
    private final Flights<K, V> flights;
    private final Timing timing;
    private final LongSupplier purgePosition;
    private final Scheduler scheduler;
    private final Scheduler renewals;
    private final RandomGenerator random;
    private final Events events;
    private final Set<Course> courses = ConcurrentHashMap.newKeySet();

    /**
     * @param purgePosition the last purge position this replica knows of, for fills while the tier is away; one too old is safe
     * @param scheduler     where waits are timed
     * @param renewals      where the renewals of leases are timed: a thread that nothing else keeps busy, or a busy process loses them
     * @param random        spreads the polls of the replicas
     */
    public Coalescer(SharedTier<K, V> tier, Timing timing, LongSupplier purgePosition, Scheduler scheduler,
            Scheduler renewals, RandomGenerator random, Events events) {
        this.tier = tier;
        this.flights = new Flights<>(timing, events);
        this.timing = timing;
        this.purgePosition = purgePosition;
        this.scheduler = scheduler;
        this.renewals = renewals;
        this.random = random;
        this.events = events;
    }

    /**
     * Boards the flight for the key, or opens it. Emits exactly one outcome. Cancelling leaves the flight in the air. Errors only
     * when a fill broke its contract.
     */
    public Mono<Outcome<V>> join(Ask<K, V> ask) {
        return flights.join(ask.key(), there -> ask.accepts(there, false), () -> new Course(ask).fly());
    }

    /**
     * Gives back every lease this process holds, so that others take over at once. For a process that ends: its flights still in
     * the air go on, fenced out.
     */
    public Mono<Void> resign() {
        return Flux.fromIterable(courses).flatMap(Course::giveUp).then();
    }

    /**
     * Gives up on the flight of the key in this process: whoever comes from now on, here or elsewhere, starts afresh. Those aboard
     * keep it to its end, but what it fetches is no longer published. False when there is none.
     */
    public Mono<Boolean> abandon(K key) {
        return Flux.fromIterable(courses)
                .filter(course -> course.ask.key().equals(key) && !course.abandoned)
                .doOnNext(course -> {
                    course.abandoned = true;
                    flights.forget(key);
                })
                .concatMap(course -> course.giveUp().thenReturn(true))
                .any(given -> given);
    }

    /** The flights in the air in this process, save those given up, those with the most waiters first. */
    public List<InFlight<K>> flights() {
        long now = scheduler.now(TimeUnit.NANOSECONDS);
        return courses.stream()
                .filter(course -> !course.abandoned)
                .map(course -> course.seen(now))
                .sorted(Comparator.comparingInt(InFlight<K>::waiters).reversed())
                .toList();
    }

    /** Spares the others the wait for the lease to lapse; that wait is the bound. */
    private Mono<Void> giveBack(Lease<K> lease, Ring ring) {
        return untilLapsed(tier.release(lease, ring));
    }

    /** A step that has no effect once the lease has lapsed. */
    private Mono<Void> untilLapsed(Mono<Void> step) {
        return step.timeout(timing.lease(), Mono.empty(), scheduler).onErrorComplete(TierUnavailable.class);
    }

    /** What is stored, without a flight; empty when the key is absent, or the tier unavailable or slower than {@code patience}. */
    public Mono<V> find(K key, Duration patience) {
        return tier.find(key)
                .map(Seen::value)
                .timeout(patience, Mono.empty(), scheduler)
                .onErrorComplete(TierUnavailable.class);
    }

    /**
     * Publishes what was fetched outside a flight, in place of the value of that version: not if anything newer is there, nor if
     * somebody fills the key now. Emits whether it is stored now, within half a lease's time: the lease is not renewed, and is given
     * back before it lapses. Never errors for want of the tier.
     */
    public Mono<Boolean> offer(K key, String version, List<Write<K, V>> writes) {
        return tier.tryLead(key, timing.lease()).flatMap(attempt -> switch (attempt) {
            case Attempt.Led<K>(Lease<K> lease) -> replace(lease, version, writes);
            case Attempt.Lost<K> lost -> Mono.just(false);
        })
                .timeout(timing.lease().dividedBy(2), Mono.just(false), scheduler)
                .onErrorReturn(TierUnavailable.class, false);
    }

    /** Given up on its way, it gives the lease back, so that nobody waits for it to lapse. */
    private Mono<Boolean> replace(Lease<K> lease, String version, List<Write<K, V>> writes) {
        Mono<Void> giveBack = giveBack(lease, Ring.LANDED);
        return Mono.usingWhen(Mono.just(lease),
                held -> tier.stand(held)
                        .flatMap(ground -> ground.seen().map(Seen::version).orElse(version).equals(version)
                                ? tier.publish(held, ground.version(), writes)
                                        .doOnNext(this::tell)
                                        .map(Published.STORED::equals)
                                : giveBack.thenReturn(false)),
                done -> Mono.empty(),
                (failed, error) -> giveBack,
                cancelled -> giveBack);
    }

    private void tell(Published published) {
        switch (published) {
            case STORED -> events.filled();
            case FENCED -> events.fenced();
            case FULL -> events.released(Events.Reason.FULL);
        }
    }

    private long now() {
        return scheduler.now(TimeUnit.NANOSECONDS);
    }

    /** Whether a flight for the key is in the air in this process. */
    public boolean flies(K key) {
        return flights.flies(key);
    }

    /** Flights in the air in this process. */
    public int inFlight() {
        return flights.size();
    }

    /** Callers who wait in this process. */
    public int waiting() {
        return flights.aboard();
    }

    /** One flight from look to landing. Its steps run one after the other, so its state needs no guard. */
    private final class Course {

        private final Ask<K, V> ask;
        /** The key of this flight: what is asked for may be another key later. */
        private final K opened;
        private final long start = scheduler.now(TimeUnit.NANOSECONDS);
        private Optional<Seen<V>> seen = Optional.empty();
        private Optional<String> stoodOn = Optional.empty();
        /** Whether the tier itself was looked at, so that another version than the one seen has come since. */
        private boolean looked;
        /** How often in a row the lock was refused and then said to be free. */
        private int contradictions;
        private final Disposable.Swap renewing = Disposables.swap();
        // Read by operators too.
        private volatile Optional<Lease<K>> held = Optional.empty();
        private volatile boolean follows;
        // It flies on for those aboard; the key may have another by now.
        private volatile boolean abandoned;

        Course(Ask<K, V> ask) {
            this.opened = ask.key();
            this.ask = ask;
        }

        Mono<Landing<V>> fly() {
            courses.add(this);
            return look()
                    .doOnError(broken -> ended())
                    .map(landing -> new Landing<>(landing.outcome(), landing.after().doFinally(end -> ended())));
        }

        private void ended() {
            renewing.dispose();
            courses.remove(this);
            ask.ended(opened);
        }

        InFlight<K> seen(long now) {
            var role = held.isPresent()
                    ? InFlight.Role.LEADER
                    : follows ? InFlight.Role.FOLLOWER : InFlight.Role.LOOKING;
            return new InFlight<>(ask.key(), ask.name(), role, Duration.ofNanos(now - start),
                    flights.aboard(ask.key()));
        }

        Mono<Void> giveUp() {
            return held.map(lease -> giveBack(lease, Ring.LANDED)).orElse(Mono.empty());
        }

        private Mono<Landing<V>> look() {
            return patiently(tier.find(ask.key()).map(Optional::of).defaultIfEmpty(Optional.empty()))
                    .flatMap(this::landOrLead)
                    // The one place where a missing tier shows: this process goes on by itself.
                    .onErrorResume(TierUnavailable.class, away -> degraded())
                    .onErrorResume(OutOfPatience.class, late -> impatient());
        }

        /** A step of the tier within the flight's patience. */
        private <T> Mono<T> patiently(Mono<T> step) {
            Duration left = patienceLeft();
            return left.isPositive()
                    ? step.timeout(left, Mono.error(OutOfPatience::new), scheduler)
                    : Mono.error(new OutOfPatience());
        }

        private Mono<Landing<V>> landOrLead(Optional<Seen<V>> found) {
            seen = found;
            looked = found.isEmpty() || !found.get().remembered();
            if (found.isPresent() && ask.accepts(found.get().value(), false)) {
                return Mono.just(landed(found.get(), Role.LOOKED));
            }
            return lead();
        }

        private Mono<Landing<V>> lead() {
            return Mono.defer(() -> {
                long asked = now();
                return patiently(tier.tryLead(ask.key(), timing.lease())).flatMap(attempt -> switch (attempt) {
                    case Attempt.Led<K>(Lease<K> lease) -> asLeader(lease, asked);
                    case Attempt.Lost<K>(long since) -> follow(since);
                });
            });
        }

        private Mono<Landing<V>> asLeader(Lease<K> lease, long asked) {
            held = Optional.of(lease);
            renewing.update(renew(lease, asked));
            if (follows) {
                events.tookOver();
                endWait();
            }
            return patiently(tier.stand(lease)).flatMap(ground -> ground.held()
                    ? landOrFill(lease, ground)
                    : contradicted(() -> {
                        held = Optional.empty();
                        renewing.update(Disposables.disposed());
                        return giveBack(lease, Ring.LANDED).then(look());
                    }));
        }

        /**
         * One side of the tier says that there is a lock, the other that there is none: it was given back or has lapsed in between,
         * or the two sides are not one. Never a wait for such a lock, nor a loop without a pause.
         */
        private Mono<Landing<V>> contradicted(Supplier<Mono<Landing<V>>> again) {
            contradictions++;
            if (contradictions >= CONTRADICTIONS) {
                return Mono.error(new TierUnavailable("the locks are not where the values are"));
            }
            if (contradictions == 1) {
                return Mono.defer(again);
            }
            Duration pause = FIRST_PAUSE.multipliedBy(1L << (contradictions - 2));
            return patiently(Mono.delay(pause.plusNanos((long) (pause.toNanos() * random.nextDouble())), scheduler))
                    .flatMap(over -> again.get());
        }

        private Mono<Landing<V>> landOrFill(Lease<K> lease, Ground<V> ground) {
            boolean changed = looked && ground.seen().isPresent()
                    && !ground.seen().map(Seen::version).equals(seen.map(Seen::version));
            seen = ground.seen();
            stoodOn = ground.version();
            if (seen.isPresent() && ask.accepts(seen.get().value(), changed)) {
                Landing<V> landing = landed(seen.get(), changed ? Role.FOLLOWED : Role.LOOKED);
                return Mono.just(new Landing<>(landing.outcome(), giveBack(lease, Ring.LANDED)));
            }
            return fill(lease, ground.position());
        }

        private Mono<Landing<V>> fill(Lease<K> lease, long position) {
            Mono<Filled<K, V>> fill = Mono.defer(() -> ask.fill(seen.map(Seen::value), position));
            return fill
                    .onErrorResume(broken -> giveBack(lease, Ring.DISMISSED).then(Mono.error(broken)))
                    .flatMap(filled -> settle(lease, filled));
        }

        /**
         * Keeps the lease from its first moment until the flight has ended, the write included: a slow tier or a busy process may
         * need longer than a lease for each step. A lost lease does not end the fetch, it only makes the publish void. No renewal
         * waits for the reply to the one before, which may be late though the tier is not.
         *
         * @param asked when the lease was asked for: it began no earlier
         */
        private Disposable renew(Lease<K> lease, long asked) {
            Duration third = timing.lease().dividedBy(3);
            Duration first = third.minusNanos(now() - asked);
            return Flux.interval(first.isNegative() ? Duration.ZERO : first, third, renewals)
                    .onBackpressureDrop()
                    .flatMap(tick -> tier.renew(lease, timing.lease()).onErrorReturn(TierUnavailable.class, true),
                            RENEWALS)
                    .takeWhile(stillHeld -> stillHeld)
                    .subscribe(kept -> {}, cause -> events.failed("renewal of a lease", cause));
        }

        private Mono<Landing<V>> settle(Lease<K> lease, Filled<K, V> filled) {
            return switch (filled) {
                case Share<K, V>(V value, List<Write<K, V>> writes, boolean lasting) ->
                    share(lease, value, writes, lasting);
                case Withhold<K, V>(List<Write<K, V>> writes) -> {
                    events.released(Events.Reason.WITHHELD);
                    yield Mono.just(new Landing<>(released(writes), writes.isEmpty()
                            ? giveBack(lease, Ring.DISMISSED)
                            : publish(lease, writes).then()));
                }
                // Told to the fleet first, so that a request that comes back at once starts afresh.
                case Fail<K, V>(V failure) -> untilLapsed(tier.fail(lease, failure)).thenReturn(failed(failure));
            };
        }

        /** What does not last is told when it is stored, or cannot be; the rest a moment earlier if the write is slow. */
        private Mono<Landing<V>> share(Lease<K> lease, V value, List<Write<K, V>> writes, boolean lasting) {
            Mono<Boolean> write = publish(lease, writes).cache();
            Mono<Boolean> known = lasting ? write.timeout(STORED_WAIT, Mono.just(false), scheduler) : write;
            return known.map(stored -> new Landing<>(
                    new Outcome.Landed<>(value, lease.holder(), Role.LED, stored), write.then()));
        }

        /** Emits whether the values are stored. */
        private Mono<Boolean> publish(Lease<K> lease, List<Write<K, V>> writes) {
            return tier.publish(lease, stoodOn, writes)
                    .doOnNext(Coalescer.this::tell)
                    .map(Published.STORED::equals)
                    .timeout(ask.patience(), Mono.defer(() -> {
                        // Too large for the way to the tier. Kept here, or every request would try it again.
                        writes.forEach(tier::keep);
                        events.released(Events.Reason.FULL);
                        return giveBack(lease, Ring.DISMISSED).thenReturn(false);
                    }), scheduler)
                    .onErrorResume(TierUnavailable.class, away -> {
                        // Written or not, nobody here can tell: this process remembers it, the others will look.
                        writes.forEach(tier::keep);
                        return Mono.just(true);
                    });
        }

        private Mono<Landing<V>> follow(long since) {
            follows = true;
            // Listen, then look: a ring that comes before the answer to this look is kept by the latch.
            return Mono.using(() -> tier.listen(ask.key()), latch -> sight(since, latch), Latch::close)
                    .flatMap(step -> step);
        }

        /** One look of a follower. Emits the step to take when the latch is closed, so that waits do not pile up. */
        private Mono<Mono<Landing<V>>> sight(long since, Latch latch) {
            return patiently(tier.follow(ask.key(), seen.map(Seen::version), since)).flatMap(sight -> {
                boolean awaited = looked;
                looked = true;
                return switch (sight) {
                    case Sight.Changed<V>(Seen<V> now) -> Mono.just(changed(now, awaited));
                    case Sight.Failed<V>(V failure) -> Mono.just(Mono.just(endWait(failed(failure))));
                    case Sight.Free<V> free -> Mono.just(contradicted(this::lead));
                    case Sight.Waiting<V>(Duration left) -> {
                        contradictions = 0;
                        yield waitForRing(since, latch, left);
                    }
                };
            });
        }

        private Mono<Landing<V>> changed(Seen<V> now, boolean awaited) {
            seen = Optional.of(now);
            return ask.accepts(now.value(), awaited)
                    ? Mono.just(endWait(landed(now, awaited ? Role.FOLLOWED : Role.LOOKED)))
                    : Mono.defer(this::lead);
        }

        private Mono<Mono<Landing<V>>> waitForRing(long since, Latch latch, Duration left) {
            Mono<Landing<V>> again = Mono.defer(() -> follow(since));
            return latch.rung()
                    .map(ring -> switch (ring) {
                        case LANDED -> again;
                        case DISMISSED -> Mono.defer(this::dismissed);
                    })
                    .timeout(nextLook(left), Mono.just(again), scheduler);
        }

        /** When to look again unrung: soon after the lease would lapse, at each poll, at the end of patience. */
        private Duration nextLook(Duration left) {
            Duration look = left.compareTo(timing.poll()) < 0 ? left : timing.poll();
            Duration spread = look.plusNanos((long) (timing.jitter().toNanos() * random.nextDouble()));
            Duration patience = patienceLeft();
            return spread.compareTo(patience) < 0
                    ? spread
                    : patience.isNegative() ? Duration.ZERO : patience.plusNanos(1);
        }

        private Mono<Landing<V>> dismissed() {
            events.released(Events.Reason.DISMISSED);
            return Mono.just(endWait(Landing.of(new Outcome.Released<V>())));
        }

        /**
         * With the lease in hand it fills for all: the second look and the purge position were late, and an older position is safe.
         */
        private Mono<Landing<V>> impatient() {
            events.released(Events.Reason.IMPATIENT);
            endWait();
            return held.map(lease -> fill(lease, purgePosition.getAsLong())).orElseGet(() -> alone(false));
        }

        private Mono<Landing<V>> degraded() {
            events.degraded();
            endWait();
            return alone(true);
        }

        /** Fills without a lease. Without one nothing is published; kept here only if nobody else could have published either. */
        private Mono<Landing<V>> alone(boolean keep) {
            // At once: nobody else is to wait for a flight that publishes nothing.
            renewing.update(Disposables.disposed());
            Mono<Void> after = giveUp().cache();
            // What goes wrong with it is told at the landing.
            after.subscribe(nothing -> {}, told -> {});
            return ask.fill(seen.map(Seen::value), purgePosition.getAsLong()).map(filled -> switch (filled) {
                case Share<K, V>(V value, List<Write<K, V>> writes, boolean lasting) -> {
                    if (keep) {
                        writes.forEach(tier::keep);
                    }
                    yield new Landing<>(new Outcome.Landed<>(value, "", Role.ALONE, keep), after);
                }
                case Withhold<K, V> withhold -> {
                    events.released(Events.Reason.WITHHELD);
                    yield new Landing<>(released(withhold.writes()), after);
                }
                case Fail<K, V>(V failure) -> new Landing<>(failed(failure).outcome(), after);
            });
        }

        private Outcome<V> released(List<Write<K, V>> writes) {
            return new Outcome.Released<>(writes.stream().findFirst().map(Write::value));
        }

        private Landing<V> landed(Seen<V> found, Role role) {
            return Landing.of(new Outcome.Landed<>(found.value(), found.version(), role, true));
        }

        private Landing<V> failed(V failure) {
            return Landing.of(new Outcome.Failed<>(failure, seen.map(Seen::value)));
        }

        private Landing<V> endWait(Landing<V> landing) {
            endWait();
            return landing;
        }

        private void endWait() {
            if (follows) {
                follows = false;
                events.waited(Duration.ofNanos(now() - start));
            }
        }

        private Duration patienceLeft() {
            return ask.patience().minusNanos(now() - start);
        }
    }
}
