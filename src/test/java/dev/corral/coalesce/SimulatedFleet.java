package dev.corral.coalesce;

import dev.corral.coalesce.Page.Nature;
import dev.corral.coalesce.SimulatedOrigin.Reply;
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
    enum Fault {
        LOST_COMMANDS, SLOW_COMMANDS, REPLAYED_COMMANDS, LOST_RINGS, LATE_RINGS, //
        CRASH, PAUSE, STOP, CUT, //
        STALL, AWAY, FAILOVER, SPLIT, FULL, CLOCK_STEP, //
        SLOW_ORIGIN
    }

    /** What may be wrong while the tier serves: none of it excuses a second fetch. */
    static final Set<Fault> SOFT = EnumSet.of(Fault.LOST_COMMANDS, Fault.SLOW_COMMANDS, Fault.REPLAYED_COMMANDS,
            Fault.LOST_RINGS, Fault.LATE_RINGS, Fault.SLOW_ORIGIN);

    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(4);

    final SimulatedWorld world;
    final Timing timing;
    final Duration patience;
    /** Whether there is enough of it for all that the weather may bring. */
    final boolean patient;
    final Duration mirrorLag;
    final Set<Fault> faults;
    final List<String> keys;
    final Duration slowest;
    final Duration length;
    int failovers;
    int crashes;

    private final RandomGenerator random;
    private final Weather weather;
    private final double failing;
    private final double stale;
    private final double secret;

    SimulatedFleet(long seed, boolean traced) {
        this.random = new SplittableRandom(seed);
        this.weather = Weather.variable(random);
        this.faults = faults((int) (seed % 4));
        this.keys = List.of("a", "b", "c").subList(0, random.nextInt(1, 4));
        boolean narrow = weather.chance(0.1);
        // A lease is longer than the ways of a command and two more tries.
        this.timing = new Timing(
                weather.between(Duration.ofMillis(soft() && !calm() ? 1_000 : 200), Duration.ofSeconds(3)),
                weather.between(Duration.ofMillis(200), Duration.ofSeconds(1)), Duration.ofMillis(50),
                narrow ? 3 : 1_000,
                narrow ? 5 : 1_000);
        // Without faults nobody is to lose patience; nor is anybody for whom the tier is slow, if there is enough of it.
        this.patient = calm() || (soft() && weather.chance(0.7));
        this.patience = patient
                ? weather.between(Duration.ofSeconds(calm() ? 20 : 60), Duration.ofSeconds(calm() ? 30 : 80))
                : weather.between(Duration.ofMillis(200), Duration.ofSeconds(weather.chance(0.7) ? 30 : 2));
        this.mirrorLag = weather.chance(0.5) ? Duration.ZERO : Duration.ofMillis(900);
        this.slowest = weather.between(Duration.ofMillis(5), Duration.ofMillis(800));
        this.length = weather.between(Duration.ofSeconds(2), Duration.ofSeconds(12));
        this.failing = weather.chance(0.3) ? 0.3 : 0;
        this.stale = weather.chance(0.3) ? 0.4 : 0;
        this.secret = weather.chance(0.3) ? 0.4 : 0;
        this.world = new SimulatedWorld(random, weather, timing,
                weather.between(Duration.ofMillis(300), Duration.ofSeconds(20)),
                weather.chance(0.5) ? Duration.ZERO : Duration.ofSeconds(1), traced);
        this.world.origin.replies = this::reply;
    }

    /** No fault of any kind; the origin's answers may still be of any nature. */
    boolean calm() {
        return faults.isEmpty();
    }

    /** Nothing is wrong but what a tier that serves may do. */
    boolean soft() {
        return SOFT.containsAll(faults);
    }

    /** From the first caller to the last, healing, rest, and one more caller for each key and replica. */
    void run() {
        int replicas = random.nextInt(2, 6);
        for (int i = 0; i < replicas; i++) {
            world.start();
        }
        world.journal.note(() -> "faults: " + faults + ", " + timing + ", patience " + patience);
        planCallers();
        planPurges();
        planFaults();
        world.pass(length);
        heal();
        world.pass(Duration.ofMinutes(2));
    }

    /** Asks for everything everywhere, now that nothing is wrong. */
    List<SimulatedCaller> probe() {
        world.journal.note(() -> "probing");
        world.origin.replies = key -> new Reply(Nature.SHARED, Duration.ofMillis(50));
        List<SimulatedCaller> probes = new ArrayList<>();
        for (String key : keys) {
            alive().forEach(replica -> probes.add(world.arrive(replica, key, Duration.ofSeconds(10))));
        }
        world.pass(Duration.ofMinutes(2));
        return probes;
    }

    List<SimulatedReplica> alive() {
        return world.replicas.stream().filter(replica -> replica.process.alive()).toList();
    }

    private Set<Fault> faults(int kind) {
        Set<Fault> some = EnumSet.noneOf(Fault.class);
        switch (kind) {
            case 0 -> {
            }
            case 1 -> add(some, SOFT, 0.4);
            default -> add(some, EnumSet.allOf(Fault.class), 0.2);
        }
        return some;
    }

    private void add(Set<Fault> some, Set<Fault> of, double chance) {
        for (Fault fault : of) {
            if (weather.chance(chance)) {
                some.add(fault);
            }
        }
    }

    private Reply reply(String key) {
        Nature nature = weather.chance(failing)
                ? Nature.FAILURE
                : weather.chance(stale)
                        ? Nature.BORN_STALE
                        : weather.chance(secret)
                                ? (weather.chance(0.5) ? Nature.PRIVATE : Nature.PRIVATE_UNMARKED)
                                : Nature.SHARED;
        boolean slow = faults.contains(Fault.SLOW_ORIGIN) && weather.chance(0.3);
        return new Reply(nature, slow
                ? weather.between(slowest, Duration.ofSeconds(7))
                : weather.between(Duration.ofMillis(1), slowest));
    }

    /** Some come in a crowd, everywhere at once; some one by one; some leave before they are served. */
    private void planCallers() {
        int crowds = random.nextInt(1, 6);
        for (int i = 0; i < crowds; i++) {
            Duration at = weather.between(Duration.ZERO, length);
            String key = any(keys);
            int heads = random.nextInt(2, 12);
            for (int j = 0; j < heads; j++) {
                planCaller(at.plus(weather.between(Duration.ZERO, Duration.ofMillis(8))), key);
            }
        }
        int singles = random.nextInt(5, 30);
        for (int i = 0; i < singles; i++) {
            planCaller(weather.between(Duration.ZERO, length), any(keys));
        }
    }

    private void planCaller(Duration at, String key) {
        boolean leaves = weather.chance(0.15);
        boolean insists = weather.chance(0.2);
        Duration stays = weather.between(Duration.ZERO, Duration.ofMillis(500));
        world.after(at, () -> {
            SimulatedCaller caller = world.arrive(any(alive()), key, patience);
            caller.insists = insists;
            if (leaves) {
                world.after(stays, caller::leave);
            }
        });
    }

    /** The origin's contents change; after some changes somebody purges. */
    private void planPurges() {
        int changes = random.nextInt(0, 6);
        for (int i = 0; i < changes; i++) {
            String key = any(keys);
            boolean purges = weather.chance(0.6);
            world.after(weather.between(Duration.ZERO, length), () -> {
                world.origin.change(key);
                if (purges) {
                    world.purge(key, mirrorLag);
                }
            });
        }
    }

    private void planFaults() {
        for (Fault fault : faults) {
            switch (fault) {
                case LOST_COMMANDS -> {
                    weather.requestLost = 0.05;
                    weather.replyLost = 0.05;
                    weather.mostLosses = soft() ? 2 : Integer.MAX_VALUE;
                }
                case SLOW_COMMANDS -> slow();
                case REPLAYED_COMMANDS -> weather.replayed = 0.2;
                case LOST_RINGS -> weather.ringLost = weather.chance(0.3) ? 1 : 0.3;
                case LATE_RINGS -> {
                    weather.ringLate = 0.3;
                    weather.ringTwice = 0.3;
                }
                case CRASH -> sometimes(this::crash);
                case PAUSE -> sometimes(this::pause);
                case STOP -> sometimes(this::stop);
                case CUT -> sometimes(this::cut);
                case STALL -> sometimes(() -> {
                    world.tier.stall();
                    world.after(weather.between(Duration.ofMillis(20), Duration.ofSeconds(3)), world.tier::goOn);
                });
                case AWAY -> sometimes(() -> away(weather.between(Duration.ofMillis(50), Duration.ofSeconds(5))));
                case FAILOVER -> sometimes(this::failover);
                case SPLIT -> sometimes(this::split);
                case FULL -> sometimes(() -> {
                    world.tier.full = true;
                    world.after(weather.between(Duration.ofMillis(100), Duration.ofSeconds(5)),
                            () -> world.tier.full = false);
                });
                case CLOCK_STEP -> sometimes(() -> world.tier
                        .step(weather.between(Duration.ofSeconds(-3), Duration.ofSeconds(3))));
                case SLOW_ORIGIN -> {
                }
            }
        }
    }

    /** Late by up to seconds. No lease outlasts its own renewals: a tier that serves is not that late with them. */
    private void slow() {
        weather.slow = 0.1;
        weather.latest = weather.between(Duration.ofMillis(20), Duration.ofSeconds(3));
        Duration share = timing.lease().dividedBy(8);
        weather.urgent = soft() && share.compareTo(weather.latest) < 0 ? share : weather.latest;
    }

    private void sometimes(Runnable fault) {
        int times = random.nextInt(1, 4);
        for (int i = 0; i < times; i++) {
            world.after(weather.between(Duration.ZERO, length), fault);
        }
    }

    private void crash() {
        hit("crashes", replica -> {
            crashes++;
            replica.process.kill();
            world.after(weather.between(Duration.ZERO, Duration.ofSeconds(2)), world::start);
        });
    }

    private void pause() {
        hit("pauses", replica -> {
            Duration pause = weather.between(Duration.ofMillis(10), LONGEST_PAUSE);
            replica.pauses = replica.pauses.plus(pause);
            replica.process.pause();
            world.after(pause, replica.process::resume);
        });
    }

    private void stop() {
        hit("stops", replica -> {
            // It may lead a flight of each key.
            crashes += keys.size();
            replica.coalescer.resign().subscribe();
            world.after(weather.between(Duration.ofMillis(1), Duration.ofSeconds(2)), () -> {
                replica.process.kill();
                world.start();
            });
        });
    }

    private void cut() {
        hit("is cut off", replica -> {
            replica.connection.cut();
            world.after(weather.between(Duration.ofMillis(50), Duration.ofSeconds(4)), replica.connection::mend);
        });
    }

    /** One replica is hit; the last one that is left is spared. */
    private void hit(String how, Consumer<SimulatedReplica> fault) {
        List<SimulatedReplica> alive = alive();
        if (alive.size() > 1) {
            SimulatedReplica replica = any(alive);
            world.journal.note(() -> replica.name + " " + how);
            fault.accept(replica);
        }
    }

    private void away(Duration time) {
        world.journal.note(() -> "the tier is away");
        world.tier.goAway(weather.chance(0.5));
        world.after(time, this::back);
    }

    private void back() {
        world.journal.note(() -> "the tier is back");
        world.tier.comeBack();
    }

    private void failover() {
        failovers++;
        world.tier.lose(weather.between(Duration.ZERO, SimulatedTier.UNDOABLE));
        away(weather.between(Duration.ofMillis(100), Duration.ofSeconds(1)));
    }

    /** Some replicas follow the locks to another server, and the values stay. */
    private void split() {
        world.journal.note(() -> "the locks go elsewhere");
        List<SimulatedReplica> gone = alive().stream().filter(replica -> weather.chance(0.7)).toList();
        gone.forEach(replica -> replica.connection.locks = world.elsewhere);
        world.after(weather.between(Duration.ofMillis(100), Duration.ofSeconds(9)),
                () -> gone.forEach(replica -> replica.connection.locks = world.tier));
    }

    private void heal() {
        world.journal.note(() -> "healing");
        weather.calm();
        back();
        world.tier.full = false;
        world.tier.goOn();
        alive().forEach(replica -> {
            replica.connection.mend();
            replica.connection.locks = world.tier;
            replica.process.resume();
        });
    }

    private <T> T any(List<T> list) {
        return list.get(random.nextInt(list.size()));
    }
}
