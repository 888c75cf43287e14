package dev.corral.coalesce;

import dev.corral.coalesce.NetworkConditions.CommandTransit;
import dev.corral.coalesce.NetworkConditions.CriticalLeg;
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
final class SimulatedConnection implements SharedTier<String, SimulatedResponse> {

    /** A command of the port, and {@code LOOK}: a part of those that read a value besides. */
    enum TierCommand {
        FIND(ConnectionKind.BODIES, CriticalLeg.NEITHER), //
        TRY_LEAD(ConnectionKind.LOCKS, CriticalLeg.REPLY), //
        STAND(ConnectionKind.CONTROL, CriticalLeg.NEITHER), //
        RENEW(ConnectionKind.CONTROL, CriticalLeg.REQUEST), //
        PUBLISH(ConnectionKind.BODIES, CriticalLeg.NEITHER), //
        RELEASE(ConnectionKind.CONTROL, CriticalLeg.REQUEST), //
        FAIL(ConnectionKind.CONTROL, CriticalLeg.REQUEST), //
        FOLLOW(ConnectionKind.CONTROL, CriticalLeg.NEITHER), //
        LOOK(ConnectionKind.BODIES, CriticalLeg.NEITHER);

        private final ConnectionKind connection;
        private final CriticalLeg criticalLeg;

        TierCommand(ConnectionKind line, CriticalLeg urgent) {
            this.connection = line;
            this.criticalLeg = urgent;
        }
    }

    /** What is wrong with this way to the tier on purpose, to see whether the simulation finds it. */
    enum ConnectionFlaw {
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
    private enum ConnectionKind {
        LOCKS, CONTROL, BODIES
    }

    /** @param validatedAt when the tier was known to hold it, or a moment before */
    private record NearCacheEntry(Versioned<SimulatedResponse> value, long validatedAt, long expiresAt) {}

    /** After so long out of reach the tier is known not to serve. */
    static final Duration SILENCE_TIMEOUT = Duration.ofSeconds(1);
    /** Between two probes: so long after it can be reached again the tier is known to serve. */
    static final Duration PROBE_INTERVAL = Duration.ofMillis(200);

    private static final Duration STALE_RETENTION = Duration.ofSeconds(10);
    private static final Duration LATE_LIMIT = Duration.ofMillis(100);
    private static final Duration RELEASE_RETRY_PAUSE = Duration.ofMillis(500);
    private static final int MAX_RELEASE_RETRIES = 20;

    private final SimulatedTier tier;
    private final Scheduler time;
    private final VirtualProcess process;
    private final NetworkConditions network;
    private final SimulationLog log;
    private final String replica;
    private final Set<SimulatedSubscription> subscriptions = new LinkedHashSet<>();
    private final Map<String, NearCacheEntry> nearCache = new HashMap<>();
    private final Duration maxUnvalidatedAge;
    private final Set<OutstandingCommand<?>> calls = new LinkedHashSet<>();
    private final Set<OutstandingCommand<?>.CommandTry> inTransit = new LinkedHashSet<>();
    private final Map<TierCommand, Integer> sentCounts = new EnumMap<>(TierCommand.class);
    private final Set<String> publishing = new HashSet<>();
    private Disposable pendingAvailabilityChange = Disposables.disposed();
    private boolean cut;
    private boolean reachable = true;
    private boolean available = true;
    private int attempts;
    private int incarnation;
    private long currentSecond;
    private int commandsThisSecond;

    final Set<ConnectionFlaw> flaws = EnumSet.noneOf(ConnectionFlaw.class);
    /** Where the locks are: elsewhere than the values while this replica's connections lead to two servers. */
    SimulatedTier lockTier;
    /** Commands whose requests vanish without a trace. */
    final Set<TierCommand> lostCommands = EnumSet.noneOf(TierCommand.class);
    /** Commands that fail at once: their server is known not to serve. */
    final Set<TierCommand> refusedCommands = EnumSet.noneOf(TierCommand.class);
    /** Commands that take effect and whose connections break before the reply, the first time they are sent. */
    final Set<TierCommand> commandsWithLostReply = EnumSet.noneOf(TierCommand.class);
    /** Commands whose requests take so much longer. */
    final Map<TierCommand, Duration> requestDelays = new EnumMap<>(TierCommand.class);
    /** Commands whose replies take so much longer. */
    final Map<TierCommand, Duration> replyDelays = new EnumMap<>(TierCommand.class);
    /** Commands that failed because the tier was known not to serve. */
    int unavailableCount;
    /** Commands sent again. */
    int retryCount;
    /** Attempts to lead that were given up, whether they were granted or not. */
    int abandonedAttempts;
    /** The most commands sent in one second. */
    int maxCommandsPerSecond;

    SimulatedConnection(SimulatedTier tier, Scheduler time, VirtualProcess process, NetworkConditions weather,
            SimulationLog journal,
            String replica, Duration recency) {
        this.tier = tier;
        this.lockTier = tier;
        this.time = time;
        this.process = process;
        this.network = weather;
        this.log = journal;
        this.replica = replica;
        this.maxUnvalidatedAge = recency;
        tier.connect(replica, this);
        reachabilityChanged();
    }

    /** How often the command was sent. */
    int sentCount(TierCommand command) {
        return sentCounts.getOrDefault(command, 0);
    }

    /** How many commands were sent. */
    int totalSentCount() {
        return sentCounts.values().stream().mapToInt(Integer::intValue).sum();
    }

    /** Latches not closed yet. */
    int openSubscriptions() {
        return subscriptions.size();
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

    void reconnect() {
        cut = false;
        reachabilityChanged();
    }

    /** To be called whenever the tier has gone or has come back. */
    void reachabilityChanged() {
        boolean before = reachable;
        reachable = !cut && tier.isReachable();
        if (!cut && tier.refusesConnections()) {
            scheduleAvailability(Duration.ZERO, false);
        } else if (before && !reachable) {
            scheduleAvailability(SILENCE_TIMEOUT, false);
        } else if (!before && reachable) {
            scheduleAvailability(PROBE_INTERVAL, true);
            List.copyOf(inTransit)
                    .stream()
                    .filter(one -> one.lostSilently)
                    .forEach(one -> process.schedule(one::onConnectionLost));
        }
    }

    private void scheduleAvailability(Duration after, boolean serving) {
        pendingAvailabilityChange.dispose();
        pendingAvailabilityChange = process.schedule(() -> {
            available = serving;
            log.log(() -> replica + (serving ? " knows that the tier serves" : " knows that the tier is away"));
            if (!serving) {
                List.copyOf(calls).forEach(call -> call.fail("the tier is away"));
            }
        }, after.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** As with a near cache: from memory for a moment, and when the tier is away for as long as memory has it. */
    @Override
    public Mono<Versioned<SimulatedResponse>> find(String key) {
        return Mono.defer(() -> {
            long asked = now();
            Optional<NearCacheEntry> held = Optional.ofNullable(nearCache.get(key)).filter(h -> h.expiresAt() > asked);
            Mono<Versioned<SimulatedResponse>> remembered = Mono
                    .justOrEmpty(held.map(NearCacheEntry::value).map(Versioned::asFromMemory));
            return held.isPresent() && asked - held.get().validatedAt() < maxUnvalidatedAge.toNanos()
                    ? remembered
                    : call(TierCommand.FIND, key, () -> tier.find(key))
                            .doOnNext(found -> rememberFound(key, found, asked))
                            .flatMap(Mono::justOrEmpty)
                            .onErrorResume(TierUnavailableException.class,
                                    away -> remembered.switchIfEmpty(Mono.error(away)));
        });
    }

    /** Each connection to the locks gives its attempts another name; what may hold the lease unheard is given back. */
    @Override
    public Mono<LeaseAttempt<String>> tryLead(String key, Duration ttl) {
        return Mono.defer(() -> {
            int attempt = ++attempts;
            SimulatedTier server = lockTier;
            return Mono.<LeaseAttempt<String>>create(
                    sink -> new OutstandingCommand<>(sink, TierCommand.TRY_LEAD, key, server, () -> {
                        String holder = replica + "#" + attempt + "/" + incarnation;
                        return new CommandEffect<>(holder, () -> server.tryLead(key, holder, ttl));
                    }).send());
        });
    }

    /** Two commands on two connections: whichever comes first. */
    @Override
    public Mono<LeaderSnapshot<SimulatedResponse>> snapshot(Lease<String> lease) {
        return Mono.defer(() -> {
            long asked = now();
            Mono<LeaderSnapshot<SimulatedResponse>> held = call(TierCommand.STAND, lease.key(),
                    () -> new LeaderSnapshot<>(Optional.empty(), Optional.empty(), tier.purgePosition,
                            tier.holdsLease(lease)));
            return Mono
                    .zip(held, call(TierCommand.LOOK, lease.key(), () -> tier.secondRead(lease.key())),
                            (ground, seen) -> new LeaderSnapshot<>(seen, seen.map(Versioned::version),
                                    ground.purgePosition(),
                                    ground.isLeaseHeld()))
                    .doOnNext(ground -> rememberFound(lease.key(), ground.current(), asked));
        });
    }

    @Override
    public Mono<Boolean> renew(Lease<String> lease, Duration ttl) {
        boolean ineffective = flaws.contains(ConnectionFlaw.LEASE_ENDS_BEFORE_PUBLISH)
                && publishing.contains(lease.holder());
        return call(TierCommand.RENEW, lease.key(), () -> ineffective || tier.renew(lease, ttl));
    }

    @Override
    public Mono<PublishResult> publish(Lease<String> lease, Optional<String> stoodOn,
            List<Write<String, SimulatedResponse>> writes) {
        return Mono.defer(() -> {
            publishing.add(lease.holder());
            return call(TierCommand.PUBLISH, lease.key(), () -> tier.publish(lease, stoodOn, writes));
        }).doOnNext(published -> {
            if (published == PublishResult.STORED) {
                writes.forEach(write -> remember(write, lease.holder()));
            }
        });
    }

    @Override
    public Mono<Void> release(Lease<String> lease, FillNotification ring) {
        return call(TierCommand.RELEASE, lease.key(), () -> {
            tier.release(lease, ring);
            return ring;
        }).then();
    }

    @Override
    public Mono<Void> publishFailure(Lease<String> lease, SimulatedResponse failure) {
        return call(TierCommand.FAIL, lease.key(), () -> {
            tier.publishFailure(lease, failure);
            return failure;
        }).then();
    }

    /** What has changed is read by another command, on the other connection, if the two are apart. */
    @Override
    public Mono<FollowResult<SimulatedResponse>> follow(String key, Optional<String> version, long since) {
        return Mono.defer(() -> {
            long asked = now();
            return call(TierCommand.FOLLOW, key, () -> tier.follow(key, version, since, replica))
                    .flatMap(
                            sight -> sight instanceof FollowResult.Changed<SimulatedResponse> && network.readsSeparately
                                    ? readChanged(key)
                                    : Mono.just(sight))
                    .doOnNext(sight -> {
                        if (sight instanceof FollowResult.Changed<SimulatedResponse>(Versioned<SimulatedResponse> seen)) {
                            rememberFound(key, Optional.of(seen), asked);
                        }
                    });
        });
    }

    private Mono<FollowResult<SimulatedResponse>> readChanged(String key) {
        return call(TierCommand.LOOK, key, () -> tier.find(key))
                .map(found -> found.<FollowResult<SimulatedResponse>>map(FollowResult.Changed::new)
                        .orElseGet(FollowResult.Unlocked::new));
    }

    @Override
    public FillSubscription subscribe(String key) {
        SimulatedSubscription ear = new SimulatedSubscription(key);
        subscriptions.add(ear);
        return ear;
    }

    @Override
    public void keepLocally(Write<String, SimulatedResponse> write) {
        remember(write, "kept" + write.value().fetch());
    }

    private void remember(Write<String, SimulatedResponse> write, String version) {
        nearCache.put(write.key(),
                new NearCacheEntry(new Versioned<>(write.value(), version), now(), now() + write.ttl().toNanos()));
    }

    /** What is known from later stays. */
    private void rememberFound(String key, Optional<Versioned<SimulatedResponse>> found, long asked) {
        if (!nearCache.containsKey(key) || nearCache.get(key).validatedAt() <= asked) {
            found.ifPresentOrElse(
                    seen -> nearCache.put(key,
                            new NearCacheEntry(seen, asked, seen.value().freshUntil() + STALE_RETENTION.toNanos())),
                    () -> nearCache.remove(key));
        }
    }

    /** A ring on its way from the tier. */
    void deliver(String key, FillNotification ring) {
        network.notificationDelays()
                .forEach(
                        delay -> time.schedule(() -> onNotification(key, ring), delay.toNanos(), TimeUnit.NANOSECONDS));
    }

    private void onNotification(String key, FillNotification ring) {
        if (!cut) {
            process.schedule(() -> List.copyOf(subscriptions).forEach(ear -> ear.onNotification(key, ring)));
        }
    }

    private <T> Mono<T> call(TierCommand command, String key, Supplier<T> effect) {
        return Mono.create(
                sink -> new OutstandingCommand<>(sink, command, key, tier, () -> new CommandEffect<>("", effect))
                        .send());
    }

    private void count(TierCommand command) {
        sentCounts.merge(command, 1, Integer::sum);
        long now = now() / 1_000_000_000;
        commandsThisSecond = now == currentSecond ? commandsThisSecond + 1 : 1;
        currentSecond = now;
        maxCommandsPerSecond = Math.max(maxCommandsPerSecond, commandsThisSecond);
    }

    /** The connection is lost with all that is on its way: it may arrive, but no reply will. */
    private void breakConnection(ConnectionKind line) {
        log.log(() -> replica + " loses " + line);
        if (line == ConnectionKind.LOCKS && network.chance(0.3)) {
            incarnation++;
        }
        List.copyOf(inTransit).stream().filter(one -> one.connection() == line).forEach(one -> one.onConnectionLost());
    }

    private long now() {
        return time.now(TimeUnit.NANOSECONDS);
    }

    /** Until it is done, within ten seconds of trying. */
    private void releaseAbandoned(String key, String holder) {
        Mono.defer(() -> release(new Lease<>(key, holder), FillNotification.STATE_CHANGED))
                .retryWhen(Retry.fixedDelay(MAX_RELEASE_RETRIES, RELEASE_RETRY_PAUSE).scheduler(process))
                .onErrorComplete()
                .subscribe();
    }

    /**
     * What one try of a command is to do.
     *
     * @param holder the name under which it asks for a lease; empty when it does not
     */
    private record CommandEffect<T>(String holder, Supplier<T> effect) {}

    /** A command between its first sending and its reply, or the end of its caller's interest. */
    private final class OutstandingCommand<T> {

        private final MonoSink<T> sink;
        private final TierCommand command;
        private final String key;
        private final SimulatedTier server;
        private final Supplier<CommandEffect<T>> effects;
        private final int number;
        /** The names of tries that may have been granted what nobody heard of. */
        private final Set<String> possiblyGranted = new LinkedHashSet<>();
        private Disposable retry = Disposables.disposed();
        private Disposable lateTimer = Disposables.disposed();
        private int tries;
        private boolean ended;
        private boolean replied;

        OutstandingCommand(MonoSink<T> sink, TierCommand command, String key, SimulatedTier server,
                Supplier<CommandEffect<T>> steps) {
            this.sink = sink;
            this.command = command;
            this.key = key;
            this.server = server;
            this.effects = steps;
            this.number = sentCount(command) + 1;
            calls.add(this);
            sink.onDispose(this::end);
        }

        void send() {
            if (!available || refusedCommands.contains(command)) {
                fail("is not sent");
                return;
            }
            if (flaws.contains(ConnectionFlaw.OPENS_BY_SLOWNESS)) {
                lateTimer.dispose();
                lateTimer = process.schedule(() -> fail("is late"), LATE_LIMIT.toNanos(), TimeUnit.NANOSECONDS);
            }
            count(command);
            var one = new CommandTry(effects.get(), network.transit(command.criticalLeg, tries));
            tries++;
            one.start();
        }

        void fail(String how) {
            if (!ended) {
                unavailableCount++;
                log.log(() -> this + " " + how);
                sink.error(new TierUnavailableException(this + " " + how, new IllegalStateException(how)));
            }
        }

        private void end() {
            ended = true;
            calls.remove(this);
            retry.dispose();
            lateTimer.dispose();
            if (!replied && command == TierCommand.TRY_LEAD && tries > 0) {
                abandonedAttempts++;
            }
            possiblyGranted.forEach(this::abandon);
        }

        /** Nobody will ask for what was granted to the try of that name. */
        private void abandon(String holder) {
            if (!flaws.contains(replied ? ConnectionFlaw.UNCLEAN_RETRIES : ConnectionFlaw.UNCLEAN)) {
                releaseAbandoned(key, holder);
            }
        }

        @Override
        public String toString() {
            return command + " " + key + " of " + replica + "/" + number;
        }

        /** One try. */
        private final class CommandTry {

            private final CommandEffect<T> commandEffect;
            private final CommandTransit transit;
            private boolean broken;
            private boolean refused;
            /** It or its reply was lost with nobody to say so, until the tier can be reached again. */
            private boolean lostSilently;

            CommandTry(CommandEffect<T> step, CommandTransit trip) {
                this.commandEffect = step;
                this.transit = trip;
            }

            ConnectionKind connection() {
                return command.connection;
            }

            void start() {
                if (lostCommands.contains(command)) {
                    return;
                }
                inTransit.add(this);
                Duration there = transit.requestDelay().plus(requestDelays.getOrDefault(command, Duration.ZERO));
                after(there, transit.requestArrives() ? this::arrive : this::scheduleBreak);
                transit.replayAfter()
                        .ifPresent(later -> after(there.plus(later), () -> server.arrive(this::repeat, () -> {})));
            }

            private void arrive() {
                if (cut) {
                    lostSilently = true;
                } else if (!broken || network.chance(0.5)) {
                    server.arrive(this::execute, () -> lostSilently = true);
                }
            }

            private void execute() {
                if (broken) {
                    repeat();
                    return;
                }
                T reply = commandEffect.effect().get();
                refused = reply instanceof LeaseAttempt.HeldByOther<?>;
                boolean breaks = !transit.replyArrives() || (commandsWithLostReply.contains(command) && tries == 1);
                log.log(
                        () -> OutstandingCommand.this + " -> " + reply
                                + (breaks ? " (reply lost)" : ended ? " (given up)" : ""));
                Duration back = transit.replyDelay().plus(replyDelays.getOrDefault(command, Duration.ZERO));
                if (cut) {
                    lostSilently = true;
                } else {
                    after(back, breaks ? this::scheduleBreak : () -> process.schedule(() -> reply(reply)));
                }
            }

            /** Takes effect though nobody waits for the reply of this try any more, and there may have been one to another. */
            private void repeat() {
                boolean held = server.holdsLease(new Lease<>(key, commandEffect.holder()));
                T reply = commandEffect.effect().get();
                log.log(() -> OutstandingCommand.this + " -> " + reply + " (again)");
                if ((ended || refused) && !held && !commandEffect.holder().isEmpty()) {
                    server.markUnheard(commandEffect.holder());
                }
            }

            private void reply(T reply) {
                if (!inTransit.remove(this)) {
                    return;
                }
                boolean granted = reply instanceof LeaseAttempt.Acquired<?>;
                if (ended && granted) {
                    abandon(commandEffect.holder());
                } else if (!ended) {
                    replied = true;
                    if (granted) {
                        possiblyGranted.remove(commandEffect.holder());
                    }
                    sink.success(reply);
                }
            }

            private void scheduleBreak() {
                process.schedule(() -> breakConnection(command.connection));
            }

            /** The connection is known to be lost. */
            void onConnectionLost() {
                if (!inTransit.remove(this)) {
                    return;
                }
                broken = true;
                boolean named = !commandEffect.holder().isEmpty();
                if (ended && named) {
                    abandon(commandEffect.holder());
                } else if (!ended) {
                    if (named) {
                        possiblyGranted.add(commandEffect.holder());
                    }
                    retryCount++;
                    retry = process.schedule(OutstandingCommand.this::send, network.retryPause(tries).toNanos(),
                            TimeUnit.NANOSECONDS);
                }
            }

            private void after(Duration delay, Runnable step) {
                time.schedule(step, delay.toNanos(), TimeUnit.NANOSECONDS);
            }
        }
    }

    private final class SimulatedSubscription implements FillSubscription {

        private final String key;
        private final Sinks.One<FillNotification> notification = Sinks.one();

        SimulatedSubscription(String key) {
            this.key = key;
        }

        void onNotification(String rung, FillNotification what) {
            if (key.equals(rung)) {
                notification.tryEmitValue(what);
            }
        }

        @Override
        public Mono<FillNotification> notification() {
            return notification.asMono();
        }

        @Override
        public void close() {
            subscriptions.remove(this);
        }
    }
}
