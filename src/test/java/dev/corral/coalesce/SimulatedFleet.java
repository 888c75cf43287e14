package dev.corral.coalesce;

import dev.corral.coalesce.SimulatedOrigin.OriginReply;
import dev.corral.coalesce.SimulatedResponse.ResponseKind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;

/**
 * One run of a fleet, all of it drawn from one seed: how many replicas, keys and callers, what the origin answers, and what goes
 * wrong when. Each run has only some kinds of faults, so that no kind hides another; every fourth has none, and every fourth only
 * such during which the tier serves. Afterwards everything heals, and the fleet has to come to rest and to serve.
 */
final class SimulatedFleet {

    /** What can go wrong. */
    enum SimulatedFault {
        LOST_COMMANDS, SLOW_COMMANDS, REPLAYED_COMMANDS, LOST_NOTIFICATIONS, LATE_NOTIFICATIONS, //
        CRASH, PAUSE, STOP, CUT, //
        STALL, UNAVAILABLE, FAILOVER, SPLIT, FULL, CLOCK_STEP, //
        SLOW_ORIGIN
    }

    /** What may be wrong while the tier serves: none of it excuses a second fetch. */
    static final Set<SimulatedFault> FAULTS_OF_A_SERVING_TIER = EnumSet.of(SimulatedFault.LOST_COMMANDS,
            SimulatedFault.SLOW_COMMANDS, SimulatedFault.REPLAYED_COMMANDS,
            SimulatedFault.LOST_NOTIFICATIONS, SimulatedFault.LATE_NOTIFICATIONS, SimulatedFault.SLOW_ORIGIN);

    private static final Duration MAX_PAUSE = Duration.ofSeconds(4);

    final SimulatedWorld world;
    final CoalescerLimits timing;
    final Duration maxWait;
    /** Whether there is enough of it for all that the weather may bring. */
    final boolean hasAmpleMaxWait;
    final Duration mirrorLag;
    final Set<SimulatedFault> faults;
    final List<String> keys;
    final Duration maxOriginLatency;
    final Duration duration;
    int failovers;
    int crashes;

    private final RandomGenerator random;
    private final NetworkConditions network;
    private final double failureProbability;
    private final double staleProbability;
    private final double privateProbability;

    SimulatedFleet(long seed, boolean traced) {
        this.random = new SplittableRandom(seed);
        this.network = NetworkConditions.variable(random);
        this.faults = faults((int) (seed % 4));
        this.keys = List.of("a", "b", "c").subList(0, random.nextInt(1, 4));
        boolean narrow = network.chance(0.1);
        // A lease is longer than the ways of a command and two more tries.
        this.timing = new CoalescerLimits(
                network.between(Duration.ofMillis(tierKeepsServing() && !isFaultFree() ? 1_000 : 200),
                        Duration.ofSeconds(3)),
                network.between(Duration.ofMillis(200), Duration.ofSeconds(1)), Duration.ofMillis(50),
                narrow ? 3 : 1_000,
                narrow ? 5 : 1_000);
        // Without faults nobody is to lose patience; nor is anybody for whom the tier is slow, if there is enough of it.
        this.hasAmpleMaxWait = isFaultFree() || (tierKeepsServing() && network.chance(0.7));
        this.maxWait = hasAmpleMaxWait
                ? network.between(Duration.ofSeconds(isFaultFree() ? 20 : 60),
                        Duration.ofSeconds(isFaultFree() ? 30 : 80))
                : network.between(Duration.ofMillis(200), Duration.ofSeconds(network.chance(0.7) ? 30 : 2));
        this.mirrorLag = network.chance(0.5) ? Duration.ZERO : Duration.ofMillis(900);
        this.maxOriginLatency = network.between(Duration.ofMillis(5), Duration.ofMillis(800));
        this.duration = network.between(Duration.ofSeconds(2), Duration.ofSeconds(12));
        this.failureProbability = network.chance(0.3) ? 0.3 : 0;
        this.staleProbability = network.chance(0.3) ? 0.4 : 0;
        this.privateProbability = network.chance(0.3) ? 0.4 : 0;
        this.world = new SimulatedWorld(random, network, timing,
                network.between(Duration.ofMillis(300), Duration.ofSeconds(20)),
                network.chance(0.5) ? Duration.ZERO : Duration.ofSeconds(1), traced);
        this.world.origin.replyFor = this::originReply;
    }

    /** No fault of any kind; the origin's answers may still be of any nature. */
    boolean isFaultFree() {
        return faults.isEmpty();
    }

    /** Nothing is wrong but what a tier that serves may do. */
    boolean tierKeepsServing() {
        return FAULTS_OF_A_SERVING_TIER.containsAll(faults);
    }

    /** From the first caller to the last, healing, rest, and one more caller for each key and replica. */
    void run() {
        int replicas = random.nextInt(2, 6);
        for (int i = 0; i < replicas; i++) {
            world.start();
        }
        world.log.log(() -> "faults: " + faults + ", " + timing + ", patience " + maxWait);
        planCallers();
        planPurges();
        planFaults();
        world.advance(duration);
        heal();
        world.advance(Duration.ofMinutes(2));
    }

    /** Asks for everything everywhere, now that nothing is wrong. */
    List<SimulatedCaller> probe() {
        world.log.log(() -> "probing");
        world.origin.replyFor = key -> new OriginReply(ResponseKind.SHARED, Duration.ofMillis(50));
        List<SimulatedCaller> probes = new ArrayList<>();
        for (String key : keys) {
            aliveReplicas().forEach(replica -> probes.add(world.arrive(replica, key, Duration.ofSeconds(10))));
        }
        world.advance(Duration.ofMinutes(2));
        return probes;
    }

    List<SimulatedReplica> aliveReplicas() {
        return world.replicas.stream().filter(replica -> replica.process.isAlive()).toList();
    }

    private Set<SimulatedFault> faults(int kind) {
        Set<SimulatedFault> some = EnumSet.noneOf(SimulatedFault.class);
        switch (kind) {
            case 0 -> {
            }
            case 1 -> addRandomly(some, FAULTS_OF_A_SERVING_TIER, 0.4);
            default -> addRandomly(some, EnumSet.allOf(SimulatedFault.class), 0.2);
        }
        return some;
    }

    private void addRandomly(Set<SimulatedFault> some, Set<SimulatedFault> of, double chance) {
        for (SimulatedFault fault : of) {
            if (network.chance(chance)) {
                some.add(fault);
            }
        }
    }

    private OriginReply originReply(String key) {
        ResponseKind nature = network.chance(failureProbability)
                ? ResponseKind.FAILURE
                : network.chance(staleProbability)
                        ? ResponseKind.BORN_STALE
                        : network.chance(privateProbability)
                                ? (network.chance(0.5) ? ResponseKind.PRIVATE : ResponseKind.PRIVATE_UNMARKED)
                                : ResponseKind.SHARED;
        boolean slow = faults.contains(SimulatedFault.SLOW_ORIGIN) && network.chance(0.3);
        return new OriginReply(nature, slow
                ? network.between(maxOriginLatency, Duration.ofSeconds(7))
                : network.between(Duration.ofMillis(1), maxOriginLatency));
    }

    /** Some come in a crowd, everywhere at once; some one by one; some leave before they are served. */
    private void planCallers() {
        int crowds = random.nextInt(1, 6);
        for (int i = 0; i < crowds; i++) {
            Duration at = network.between(Duration.ZERO, duration);
            String key = pick(keys);
            int heads = random.nextInt(2, 12);
            for (int j = 0; j < heads; j++) {
                planCaller(at.plus(network.between(Duration.ZERO, Duration.ofMillis(8))), key);
            }
        }
        int singles = random.nextInt(5, 30);
        for (int i = 0; i < singles; i++) {
            planCaller(network.between(Duration.ZERO, duration), pick(keys));
        }
    }

    private void planCaller(Duration at, String key) {
        boolean leaves = network.chance(0.15);
        boolean insists = network.chance(0.2);
        Duration stays = network.between(Duration.ZERO, Duration.ofMillis(500));
        world.schedule(at, () -> {
            SimulatedCaller caller = world.arrive(pick(aliveReplicas()), key, maxWait);
            caller.retriesAfterFailure = insists;
            if (leaves) {
                world.schedule(stays, caller::disconnect);
            }
        });
    }

    /** The origin's contents change; after some changes somebody purges. */
    private void planPurges() {
        int changes = random.nextInt(0, 6);
        for (int i = 0; i < changes; i++) {
            String key = pick(keys);
            boolean purges = network.chance(0.6);
            world.schedule(network.between(Duration.ZERO, duration), () -> {
                world.origin.changeContent(key);
                if (purges) {
                    world.purge(key, mirrorLag);
                }
            });
        }
    }

    private void planFaults() {
        for (SimulatedFault fault : faults) {
            switch (fault) {
                case LOST_COMMANDS -> {
                    network.requestLossProbability = 0.05;
                    network.replyLossProbability = 0.05;
                    network.maxLosses = tierKeepsServing() ? 2 : Integer.MAX_VALUE;
                }
                case SLOW_COMMANDS -> slowDownCommands();
                case REPLAYED_COMMANDS -> network.replayProbability = 0.2;
                case LOST_NOTIFICATIONS -> network.notificationLossProbability = network.chance(0.3) ? 1 : 0.3;
                case LATE_NOTIFICATIONS -> {
                    network.notificationLateProbability = 0.3;
                    network.notificationDuplicateProbability = 0.3;
                }
                case CRASH -> scheduleRandomly(this::crash);
                case PAUSE -> scheduleRandomly(this::pause);
                case STOP -> scheduleRandomly(this::stopGracefully);
                case CUT -> scheduleRandomly(this::cutOff);
                case STALL -> scheduleRandomly(() -> {
                    world.tier.stall();
                    world.schedule(network.between(Duration.ofMillis(20), Duration.ofSeconds(3)), world.tier::resume);
                });
                case UNAVAILABLE -> scheduleRandomly(
                        () -> makeTierUnavailable(network.between(Duration.ofMillis(50), Duration.ofSeconds(5))));
                case FAILOVER -> scheduleRandomly(this::failover);
                case SPLIT -> scheduleRandomly(this::splitLocks);
                case FULL -> scheduleRandomly(() -> {
                    world.tier.full = true;
                    world.schedule(network.between(Duration.ofMillis(100), Duration.ofSeconds(5)),
                            () -> world.tier.full = false);
                });
                case CLOCK_STEP -> scheduleRandomly(() -> world.tier
                        .stepClock(network.between(Duration.ofSeconds(-3), Duration.ofSeconds(3))));
                case SLOW_ORIGIN -> {
                }
            }
        }
    }

    /** Late by up to seconds. No lease outlasts its own renewals: a tier that serves is not that late with them. */
    private void slowDownCommands() {
        network.lateProbability = 0.1;
        network.maxLateDelay = network.between(Duration.ofMillis(20), Duration.ofSeconds(3));
        Duration share = timing.leaseTtl().dividedBy(8);
        network.maxCriticalDelay = tierKeepsServing() && share.compareTo(network.maxLateDelay) < 0
                ? share
                : network.maxLateDelay;
    }

    private void scheduleRandomly(Runnable fault) {
        int times = random.nextInt(1, 4);
        for (int i = 0; i < times; i++) {
            world.schedule(network.between(Duration.ZERO, duration), fault);
        }
    }

    private void crash() {
        hitReplica("crashes", replica -> {
            crashes++;
            replica.process.kill();
            world.schedule(network.between(Duration.ZERO, Duration.ofSeconds(2)), world::start);
        });
    }

    private void pause() {
        hitReplica("pauses", replica -> {
            Duration pause = network.between(Duration.ofMillis(10), MAX_PAUSE);
            replica.pauses = replica.pauses.plus(pause);
            replica.process.pause();
            world.schedule(pause, replica.process::resume);
        });
    }

    private void stopGracefully() {
        hitReplica("stops", replica -> {
            // It may lead a flight of each key.
            crashes += keys.size();
            replica.coalescer.releaseAllLeases().subscribe();
            world.schedule(network.between(Duration.ofMillis(1), Duration.ofSeconds(2)), () -> {
                replica.process.kill();
                world.start();
            });
        });
    }

    private void cutOff() {
        hitReplica("is cut off", replica -> {
            replica.connection.cut();
            world.schedule(network.between(Duration.ofMillis(50), Duration.ofSeconds(4)),
                    replica.connection::reconnect);
        });
    }

    /** One replica is hit; the last one that is left is spared. */
    private void hitReplica(String how, Consumer<SimulatedReplica> fault) {
        List<SimulatedReplica> alive = aliveReplicas();
        if (alive.size() > 1) {
            SimulatedReplica replica = pick(alive);
            world.log.log(() -> replica.name + " " + how);
            fault.accept(replica);
        }
    }

    private void makeTierUnavailable(Duration time) {
        world.log.log(() -> "the tier is away");
        world.tier.becomeUnavailable(network.chance(0.5));
        world.schedule(time, this::makeTierAvailable);
    }

    private void makeTierAvailable() {
        world.log.log(() -> "the tier is back");
        world.tier.becomeAvailable();
    }

    private void failover() {
        failovers++;
        world.tier.loseRecentWrites(network.between(Duration.ZERO, SimulatedTier.MAX_LOST_TIME));
        makeTierUnavailable(network.between(Duration.ofMillis(100), Duration.ofSeconds(1)));
    }

    /** Some replicas follow the locks to another server, and the values stay. */
    private void splitLocks() {
        world.log.log(() -> "the locks go elsewhere");
        List<SimulatedReplica> gone = aliveReplicas().stream().filter(replica -> network.chance(0.7)).toList();
        gone.forEach(replica -> replica.connection.lockTier = world.otherTier);
        world.schedule(network.between(Duration.ofMillis(100), Duration.ofSeconds(9)),
                () -> gone.forEach(replica -> replica.connection.lockTier = world.tier));
    }

    private void heal() {
        world.log.log(() -> "healing");
        network.clearFaults();
        makeTierAvailable();
        world.tier.full = false;
        world.tier.resume();
        aliveReplicas().forEach(replica -> {
            replica.connection.reconnect();
            replica.connection.lockTier = world.tier;
            replica.process.resume();
        });
    }

    private <T> T pick(List<T> list) {
        return list.get(random.nextInt(list.size()));
    }
}
