package dev.corral.coalesce;

import dev.corral.coalesce.Weather.Trip;
import java.time.Duration;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import reactor.core.Disposable;
import reactor.core.publisher.Mono;
import reactor.core.publisher.MonoSink;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;

/**
 * One replica's way to the tier. A command is on its way, takes effect, and its reply is on its way; each leg has its weather. A
 * command that has no reply in time fails, whether it took effect or not, and may take effect later, or twice.
 */
final class SimulatedConnection implements SharedTier<String, Page> {

    /** A command of the port. */
    enum Command {
        FIND, TRY_LEAD, STAND, RENEW, PUBLISH, RELEASE, FAIL, FOLLOW
    }

    /** @param known when the tier was known to hold it, or a moment before */
    private record Held(Seen<Page> seen, long known, long until) {}

    /** How long a command may take: the bound the port speaks of. */
    static final Duration TIMEOUT = Duration.ofMillis(100);
    private static final Duration STALE = Duration.ofSeconds(10);

    private final SimulatedTier tier;
    private final Scheduler time;
    private final VirtualProcess process;
    private final Weather weather;
    private final Journal journal;
    private final String replica;
    private final Set<Ear> ears = new LinkedHashSet<>();
    private final Map<String, Held> memory = new HashMap<>();
    private final Duration recency;
    private int holders;

    /** After so long without a reply the tier is known not to serve. */
    Duration patience = TIMEOUT;
    /** Nothing goes through while it is cut. */
    boolean cut;
    /** Commands whose requests never arrive. */
    final Set<Command> lost = EnumSet.noneOf(Command.class);
    /** Commands that take effect and whose replies never come back. */
    final Set<Command> unanswered = EnumSet.noneOf(Command.class);
    /** Commands whose requests take so much longer. */
    final Map<Command, Duration> delayed = new EnumMap<>(Command.class);
    /** Commands whose replies take so much longer. */
    final Map<Command, Duration> slowed = new EnumMap<>(Command.class);
    private final Map<Command, Integer> sent = new EnumMap<>(Command.class);
    int unavailable;

    SimulatedConnection(SimulatedTier tier, Scheduler time, VirtualProcess process, Weather weather, Journal journal,
            String replica, Duration recency) {
        this.tier = tier;
        this.time = time;
        this.process = process;
        this.weather = weather;
        this.journal = journal;
        this.replica = replica;
        this.recency = recency;
        tier.plug(replica, this);
    }

    /** How often the command was sent. */
    int times(Command command) {
        return sent.getOrDefault(command, 0);
    }

    /** Latches not closed yet. */
    int openEars() {
        return ears.size();
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

    @Override
    public Mono<Attempt<String>> tryLead(String key, Duration ttl) {
        return Mono.defer(() -> {
            String holder = replica + "#" + ++holders;
            return call(Command.TRY_LEAD, key, () -> tier.tryLead(key, holder, ttl));
        });
    }

    @Override
    public Mono<Ground<Page>> stand(Lease<String> lease) {
        return Mono.defer(() -> {
            long asked = now();
            return call(Command.STAND, lease.key(), () -> tier.stand(lease))
                    .doOnNext(ground -> know(lease.key(), ground.seen(), asked));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<String> lease, Duration ttl) {
        return call(Command.RENEW, lease.key(), () -> tier.renew(lease, ttl));
    }

    @Override
    public Mono<Published> publish(Lease<String> lease, List<Write<String, Page>> writes) {
        return call(Command.PUBLISH, lease.key(), () -> tier.publish(lease, writes)).doOnNext(published -> {
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

    @Override
    public Mono<Sight<Page>> follow(String key, Optional<String> version, long since) {
        return Mono.defer(() -> {
            long asked = now();
            return call(Command.FOLLOW, key, () -> tier.follow(key, version, since, replica)).doOnNext(sight -> {
                if (sight instanceof Sight.Changed<Page>(Seen<Page> seen)) {
                    know(key, Optional.of(seen), asked);
                }
            });
        });
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
        return Mono.create(sink -> new Call<>(sink, command, key, effect).start(weather.trip()));
    }

    private long now() {
        return time.now(TimeUnit.NANOSECONDS);
    }

    /** A command between its sending and its reply or timeout. */
    private final class Call<T> {

        private final MonoSink<T> sink;
        private final Command command;
        private final String name;
        private final Supplier<T> effect;
        private final Disposable deadline;
        private boolean settled;

        Call(MonoSink<T> sink, Command command, String key, Supplier<T> effect) {
            this.sink = sink;
            this.command = command;
            this.name = command + " " + key + " of " + replica + "/" + sent.merge(command, 1, Integer::sum);
            this.effect = effect;
            this.deadline = process.schedule(() -> fail("timed out"), patience.toNanos(), TimeUnit.NANOSECONDS);
            sink.onDispose(this::settle);
        }

        void start(Trip trip) {
            if (tier.refuses) {
                process.schedule(() -> fail("refused"), trip.there().toNanos(), TimeUnit.NANOSECONDS);
                return;
            }
            if (trip.arrives() && !cut && !lost.contains(command)) {
                after(trip.there().plus(delayed.getOrDefault(command, Duration.ZERO)),
                        () -> tier.arrive(() -> execute(trip)));
            }
            trip.again().ifPresent(later -> after(trip.there().plus(later), () -> tier.arrive(() -> execute(trip))));
        }

        private void execute(Trip trip) {
            T reply = effect.get();
            boolean answered = trip.answers() && !cut && !unanswered.contains(command);
            journal.note(() -> name + " -> " + reply + (answered ? "" : " (reply lost)"));
            if (answered) {
                after(trip.back().plus(slowed.getOrDefault(command, Duration.ZERO)),
                        () -> process.schedule(() -> answer(reply)));
            }
        }

        private void answer(T reply) {
            sink.success(reply);
        }

        private void settle() {
            settled = true;
            deadline.dispose();
        }

        private void fail(String how) {
            if (!settled) {
                unavailable++;
                journal.note(() -> name + " " + how);
                sink.error(new TierUnavailable(name + " " + how, new IllegalStateException(how)));
            }
        }

        private void after(Duration delay, Runnable step) {
            time.schedule(step, delay.toNanos(), TimeUnit.NANOSECONDS);
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
