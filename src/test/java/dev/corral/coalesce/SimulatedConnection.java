package dev.corral.coalesce;

import dev.corral.coalesce.Weather.Trip;
import dev.corral.coalesce.Weather.Urgent;
import java.time.Duration;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;
import reactor.util.retry.Retry;

/**
 * One replica's way to the tier. A command is on its way, takes effect, and its reply is on its way; each leg has its weather, so that
 * commands overtake each other. A late command is waited for. One whose connection breaks is sent again after a pause, whether it
 * took effect or not, and may take effect later. One that is given up may take effect nevertheless. That the tier does not serve is
 * known when it refuses connections, or has been out of reach for as long as a probe waits; then, and only then, every command fails.
 */
final class SimulatedConnection implements SharedTier<String, Page> {

    /** A command of the port, and {@code LOOK}: a part of those that read a value besides. */
    enum Command {
        FIND(Line.BODIES, Urgent.NEITHER), //
        TRY_LEAD(Line.LOCKS, Urgent.BACK), //
        STAND(Line.CONTROL, Urgent.NEITHER), //
        RENEW(Line.CONTROL, Urgent.THERE), //
        PUBLISH(Line.BODIES, Urgent.NEITHER), //
        RELEASE(Line.CONTROL, Urgent.THERE), //
        FAIL(Line.CONTROL, Urgent.THERE), //
        FOLLOW(Line.CONTROL, Urgent.NEITHER), //
        LOOK(Line.BODIES, Urgent.NEITHER);

        private final Line line;
        private final Urgent urgent;

        Command(Line line, Urgent urgent) {
            this.line = line;
            this.urgent = urgent;
        }
    }

    /** What is wrong with this way to the tier on purpose, to see whether the simulation finds it. */
    enum Flaw {
        /** A late command is taken for a tier that does not serve. */
        OPENS_BY_SLOWNESS,
        /** An attempt that was given up may keep the lease. */
        UNCLEAN,
        /** Only the one attempt that won or lost is known, not those sent before it under other names. */
        UNCLEAN_RETRIES,
        /** Renewals have no effect once the publish has been sent, but say they had. */
        LEASE_ENDS_BEFORE_PUBLISH
    }

    /** The connections: what breaks, breaks for all that is on its way there. */
    private enum Line {
        LOCKS, CONTROL, BODIES
    }

    /** @param known when the tier was known to hold it, or a moment before */
    private record Held(Seen<Page> seen, long known, long until) {}

    /** After so long out of reach the tier is known not to serve. */
    static final Duration SILENCE = Duration.ofSeconds(1);
    /** Between two probes: so long after it can be reached again the tier is known to serve. */
    static final Duration PROBE = Duration.ofMillis(200);

    private static final Duration STALE = Duration.ofSeconds(10);
    private static final Duration TOO_LATE = Duration.ofMillis(100);
    private static final Duration GIVE_BACK_PAUSE = Duration.ofMillis(500);
    private static final int GIVE_BACK_TRIES = 20;

    private final SimulatedTier tier;
    private final Scheduler time;
    private final VirtualProcess process;
    private final Weather weather;
    private final Journal journal;
    private final String replica;
    private final Set<Ear> ears = new LinkedHashSet<>();
    private final Map<String, Held> memory = new HashMap<>();
    private final Duration recency;
    private final Set<Call<?>> calls = new LinkedHashSet<>();
    private final Set<Call<?>.Sent> underWay = new LinkedHashSet<>();
    private final Map<Command, Integer> sent = new EnumMap<>(Command.class);
    private final Set<String> publishing = new HashSet<>();
    private Disposable judgement = Disposables.disposed();
    private boolean cut;
    private boolean inReach = true;
    private boolean serves = true;
    private int attempts;
    private int incarnation;
    private long second;
    private int inSecond;

    final Set<Flaw> flaws = EnumSet.noneOf(Flaw.class);
    /** Where the locks are: elsewhere than the values while this replica's connections lead to two servers. */
    SimulatedTier locks;
    /** Commands whose requests vanish without a trace. */
    final Set<Command> lost = EnumSet.noneOf(Command.class);
    /** Commands that fail at once: their server is known not to serve. */
    final Set<Command> refused = EnumSet.noneOf(Command.class);
    /** Commands that take effect and whose connections break before the reply, the first time they are sent. */
    final Set<Command> unanswered = EnumSet.noneOf(Command.class);
    /** Commands whose requests take so much longer. */
    final Map<Command, Duration> delayed = new EnumMap<>(Command.class);
    /** Commands whose replies take so much longer. */
    final Map<Command, Duration> slowed = new EnumMap<>(Command.class);
    /** Commands that failed because the tier was known not to serve. */
    int unavailable;
    /** Commands sent again. */
    int retried;
    /** Attempts to lead that were given up, whether they were granted or not. */
    int givenUp;
    /** The most commands sent in one second. */
    int busiest;

    SimulatedConnection(SimulatedTier tier, Scheduler time, VirtualProcess process, Weather weather, Journal journal,
            String replica, Duration recency) {
        this.tier = tier;
        this.locks = tier;
        this.time = time;
        this.process = process;
        this.weather = weather;
        this.journal = journal;
        this.replica = replica;
        this.recency = recency;
        tier.plug(replica, this);
        reachabilityChanged();
    }

    /** How often the command was sent. */
    int times(Command command) {
        return sent.getOrDefault(command, 0);
    }

    /** How many commands were sent. */
    int commands() {
        return sent.values().stream().mapToInt(Integer::intValue).sum();
    }

    /** Latches not closed yet. */
    int openEars() {
        return ears.size();
    }

    /** Commands of living callers. */
    int openCalls() {
        return calls.size();
    }

    /** Nothing goes through from now on, and nobody says so. */
    void cut() {
        cut = true;
        reachabilityChanged();
    }

    void mend() {
        cut = false;
        reachabilityChanged();
    }

    /** To be called whenever the tier has gone or has come back. */
    void reachabilityChanged() {
        boolean before = inReach;
        inReach = !cut && tier.answers();
        if (!cut && tier.refuses()) {
            judge(Duration.ZERO, false);
        } else if (before && !inReach) {
            judge(SILENCE, false);
        } else if (!before && inReach) {
            judge(PROBE, true);
            List.copyOf(underWay).stream().filter(one -> one.swallowed).forEach(one -> process.schedule(one::breaks));
        }
    }

    private void judge(Duration after, boolean serving) {
        judgement.dispose();
        judgement = process.schedule(() -> {
            serves = serving;
            journal.note(() -> replica + (serving ? " knows that the tier serves" : " knows that the tier is away"));
            if (!serving) {
                List.copyOf(calls).forEach(call -> call.fail("the tier is away"));
            }
        }, after.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** As with a near cache: from memory for a moment, and when the tier is away for as long as memory has it. */
    @Override
    public Mono<Seen<Page>> find(String key) {
        return Mono.defer(() -> {
            long asked = now();
            Optional<Held> held = Optional.ofNullable(memory.get(key)).filter(h -> h.until() > asked);
            Mono<Seen<Page>> remembered = Mono.justOrEmpty(held.map(Held::seen).map(Seen::asRemembered));
            return held.isPresent() && asked - held.get().known() < recency.toNanos()
                    ? remembered
                    : call(Command.FIND, key, () -> tier.find(key)).doOnNext(found -> know(key, found, asked))
                            .flatMap(Mono::justOrEmpty)
                            .onErrorResume(TierUnavailable.class, away -> remembered.switchIfEmpty(Mono.error(away)));
        });
    }

    /** Each connection to the locks gives its attempts another name; what may hold the lease unheard is given back. */
    @Override
    public Mono<Attempt<String>> tryLead(String key, Duration ttl) {
        return Mono.defer(() -> {
            int attempt = ++attempts;
            SimulatedTier server = locks;
            return Mono.<Attempt<String>>create(sink -> new Call<>(sink, Command.TRY_LEAD, key, server, () -> {
                String holder = replica + "#" + attempt + "/" + incarnation;
                return new Step<>(holder, () -> server.tryLead(key, holder, ttl));
            }).send());
        });
    }

    /** Two commands on two connections: whichever comes first. */
    @Override
    public Mono<Ground<Page>> stand(Lease<String> lease) {
        return Mono.defer(() -> {
            long asked = now();
            Mono<Ground<Page>> held = call(Command.STAND, lease.key(),
                    () -> new Ground<>(Optional.empty(), Optional.empty(), tier.position, tier.holds(lease)));
            return Mono
                    .zip(held, call(Command.LOOK, lease.key(), () -> tier.look(lease.key())),
                            (ground, seen) -> new Ground<>(seen, seen.map(Seen::version), ground.position(),
                                    ground.held()))
                    .doOnNext(ground -> know(lease.key(), ground.seen(), asked));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<String> lease, Duration ttl) {
        boolean ineffective = flaws.contains(Flaw.LEASE_ENDS_BEFORE_PUBLISH) && publishing.contains(lease.holder());
        return call(Command.RENEW, lease.key(), () -> ineffective || tier.renew(lease, ttl));
    }

    @Override
    public Mono<Published> publish(Lease<String> lease, Optional<String> stoodOn,
            List<Write<String, Page>> writes) {
        return Mono.defer(() -> {
            publishing.add(lease.holder());
            return call(Command.PUBLISH, lease.key(), () -> tier.publish(lease, stoodOn, writes));
        }).doOnNext(published -> {
            if (published == Published.STORED) {
                writes.forEach(write -> remember(write, lease.holder()));
            }
        });
    }

    @Override
    public Mono<Void> release(Lease<String> lease, Ring ring) {
        return call(Command.RELEASE, lease.key(), () -> {
            tier.release(lease, ring);
            return ring;
        }).then();
    }

    @Override
    public Mono<Void> fail(Lease<String> lease, Page failure) {
        return call(Command.FAIL, lease.key(), () -> {
            tier.fail(lease, failure);
            return failure;
        }).then();
    }

    /** What has changed is read by another command, on the other connection, if the two are apart. */
    @Override
    public Mono<Sight<Page>> follow(String key, Optional<String> version, long since) {
        return Mono.defer(() -> {
            long asked = now();
            return call(Command.FOLLOW, key, () -> tier.follow(key, version, since, replica))
                    .flatMap(sight -> sight instanceof Sight.Changed<Page> && weather.apart
                            ? read(key)
                            : Mono.just(sight))
                    .doOnNext(sight -> {
                        if (sight instanceof Sight.Changed<Page>(Seen<Page> seen)) {
                            know(key, Optional.of(seen), asked);
                        }
                    });
        });
    }

    private Mono<Sight<Page>> read(String key) {
        return call(Command.LOOK, key, () -> tier.find(key))
                .map(found -> found.<Sight<Page>>map(Sight.Changed::new).orElseGet(Sight.Free::new));
    }

    @Override
    public Latch listen(String key) {
        Ear ear = new Ear(key);
        ears.add(ear);
        return ear;
    }

    @Override
    public void keep(Write<String, Page> write) {
        remember(write, "kept" + write.value().fetch());
    }

    private void remember(Write<String, Page> write, String version) {
        memory.put(write.key(), new Held(new Seen<>(write.value(), version), now(), now() + write.life().toNanos()));
    }

    /** What is known from later stays. */
    private void know(String key, Optional<Seen<Page>> found, long asked) {
        if (!memory.containsKey(key) || memory.get(key).known() <= asked) {
            found.ifPresentOrElse(
                    seen -> memory.put(key, new Held(seen, asked, seen.value().freshUntil() + STALE.toNanos())),
                    () -> memory.remove(key));
        }
    }

    /** A ring on its way from the tier. */
    void send(String key, Ring ring) {
        weather.rings().forEach(delay -> time.schedule(() -> arrive(key, ring), delay.toNanos(), TimeUnit.NANOSECONDS));
    }

    private void arrive(String key, Ring ring) {
        if (!cut) {
            process.schedule(() -> List.copyOf(ears).forEach(ear -> ear.hear(key, ring)));
        }
    }

    private <T> Mono<T> call(Command command, String key, Supplier<T> effect) {
        return Mono.create(sink -> new Call<>(sink, command, key, tier, () -> new Step<>("", effect)).send());
    }

    private void count(Command command) {
        sent.merge(command, 1, Integer::sum);
        long now = now() / 1_000_000_000;
        inSecond = now == second ? inSecond + 1 : 1;
        second = now;
        busiest = Math.max(busiest, inSecond);
    }

    /** The connection is lost with all that is on its way: it may arrive, but no reply will. */
    private void breakLine(Line line) {
        journal.note(() -> replica + " loses " + line);
        if (line == Line.LOCKS && weather.chance(0.3)) {
            incarnation++;
        }
        List.copyOf(underWay).stream().filter(one -> one.line() == line).forEach(one -> one.breaks());
    }

    private long now() {
        return time.now(TimeUnit.NANOSECONDS);
    }

    /** Until it is done, within ten seconds of trying. */
    private void giveBack(String key, String holder) {
        Mono.defer(() -> release(new Lease<>(key, holder), Ring.LANDED))
                .retryWhen(Retry.fixedDelay(GIVE_BACK_TRIES, GIVE_BACK_PAUSE).scheduler(process))
                .onErrorComplete()
                .subscribe();
    }

    /**
     * What one try of a command is to do.
     *
     * @param holder the name under which it asks for a lease; empty when it does not
     */
    private record Step<T>(String holder, Supplier<T> effect) {}

    /** A command between its first sending and its reply, or the end of its caller's interest. */
    private final class Call<T> {

        private final MonoSink<T> sink;
        private final Command command;
        private final String key;
        private final SimulatedTier server;
        private final Supplier<Step<T>> steps;
        private final int number;
        /** The names of tries that may have been granted what nobody heard of. */
        private final Set<String> unheard = new LinkedHashSet<>();
        private Disposable again = Disposables.disposed();
        private Disposable tooLate = Disposables.disposed();
        private int tries;
        private boolean ended;
        private boolean replied;

        Call(MonoSink<T> sink, Command command, String key, SimulatedTier server, Supplier<Step<T>> steps) {
            this.sink = sink;
            this.command = command;
            this.key = key;
            this.server = server;
            this.steps = steps;
            this.number = times(command) + 1;
            calls.add(this);
            sink.onDispose(this::end);
        }

        void send() {
            if (!serves || refused.contains(command)) {
                fail("is not sent");
                return;
            }
            if (flaws.contains(Flaw.OPENS_BY_SLOWNESS)) {
                tooLate.dispose();
                tooLate = process.schedule(() -> fail("is late"), TOO_LATE.toNanos(), TimeUnit.NANOSECONDS);
            }
            count(command);
            var one = new Sent(steps.get(), weather.trip(command.urgent, tries));
            tries++;
            one.go();
        }

        void fail(String how) {
            if (!ended) {
                unavailable++;
                journal.note(() -> this + " " + how);
                sink.error(new TierUnavailable(this + " " + how, new IllegalStateException(how)));
            }
        }

        private void end() {
            ended = true;
            calls.remove(this);
            again.dispose();
            tooLate.dispose();
            if (!replied && command == Command.TRY_LEAD && tries > 0) {
                givenUp++;
            }
            unheard.forEach(this::abandon);
        }

        /** Nobody will ask for what was granted to the try of that name. */
        private void abandon(String holder) {
            if (!flaws.contains(replied ? Flaw.UNCLEAN_RETRIES : Flaw.UNCLEAN)) {
                giveBack(key, holder);
            }
        }

        @Override
        public String toString() {
            return command + " " + key + " of " + replica + "/" + number;
        }

        /** One try. */
        private final class Sent {

            private final Step<T> step;
            private final Trip trip;
            private boolean broken;
            private boolean refused;
            /** It or its reply was lost with nobody to say so, until the tier can be reached again. */
            private boolean swallowed;

            Sent(Step<T> step, Trip trip) {
                this.step = step;
                this.trip = trip;
            }

            Line line() {
                return command.line;
            }

            void go() {
                if (lost.contains(command)) {
                    return;
                }
                underWay.add(this);
                Duration there = trip.there().plus(delayed.getOrDefault(command, Duration.ZERO));
                after(there, trip.arrives() ? this::arrive : this::breakHere);
                trip.again().ifPresent(later -> after(there.plus(later), () -> server.arrive(this::repeat, () -> {})));
            }

            private void arrive() {
                if (cut) {
                    swallowed = true;
                } else if (!broken || weather.chance(0.5)) {
                    server.arrive(this::execute, () -> swallowed = true);
                }
            }

            private void execute() {
                if (broken) {
                    repeat();
                    return;
                }
                T reply = step.effect().get();
                refused = reply instanceof Attempt.Lost<?>;
                boolean breaks = !trip.answers() || (unanswered.contains(command) && tries == 1);
                journal.note(
                        () -> Call.this + " -> " + reply + (breaks ? " (reply lost)" : ended ? " (given up)" : ""));
                Duration back = trip.back().plus(slowed.getOrDefault(command, Duration.ZERO));
                if (cut) {
                    swallowed = true;
                } else {
                    after(back, breaks ? this::breakHere : () -> process.schedule(() -> reply(reply)));
                }
            }

            /** Takes effect though nobody waits for the reply of this try any more, and there may have been one to another. */
            private void repeat() {
                boolean held = server.holds(new Lease<>(key, step.holder()));
                T reply = step.effect().get();
                journal.note(() -> Call.this + " -> " + reply + " (again)");
                if ((ended || refused) && !held && !step.holder().isEmpty()) {
                    server.ghost(step.holder());
                }
            }

            private void reply(T reply) {
                if (!underWay.remove(this)) {
                    return;
                }
                boolean granted = reply instanceof Attempt.Led<?>;
                if (ended && granted) {
                    abandon(step.holder());
                } else if (!ended) {
                    replied = true;
                    if (granted) {
                        unheard.remove(step.holder());
                    }
                    sink.success(reply);
                }
            }

            private void breakHere() {
                process.schedule(() -> breakLine(command.line));
            }

            /** The connection is known to be lost. */
            void breaks() {
                if (!underWay.remove(this)) {
                    return;
                }
                broken = true;
                boolean named = !step.holder().isEmpty();
                if (ended && named) {
                    abandon(step.holder());
                } else if (!ended) {
                    if (named) {
                        unheard.add(step.holder());
                    }
                    retried++;
                    again = process.schedule(Call.this::send, weather.pause(tries).toNanos(), TimeUnit.NANOSECONDS);
                }
            }

            private void after(Duration delay, Runnable step) {
                time.schedule(step, delay.toNanos(), TimeUnit.NANOSECONDS);
            }
        }
    }

    private final class Ear implements Latch {

        private final String key;
        private final Sinks.One<Ring> ring = Sinks.one();

        Ear(String key) {
            this.key = key;
        }

        void hear(String rung, Ring what) {
            if (key.equals(rung)) {
                ring.tryEmitValue(what);
            }
        }

        @Override
        public Mono<Ring> rung() {
            return ring.asMono();
        }

        @Override
        public void close() {
            ears.remove(this);
        }
    }
}
