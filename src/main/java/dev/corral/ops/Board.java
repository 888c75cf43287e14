package dev.corral.ops;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.HdrHistogram.Histogram;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.SmartLifecycle;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * The state of the fleet for operators. Once a second this replica records its own status; the statuses of all replicas are read
 * only while a dashboard is open or the fleet endpoint is called, at most twice a second however many look. Thread-safe.
 *
 * <p>While Redis is away it shows this replica, and the others as they were last read.
 */
public final class Board implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(Board.class);

    private static final Duration BEAT = Duration.ofSeconds(1);
    // Half a beat: what is shown is at most a beat and a half old.
    private static final Duration SHARED = Duration.ofMillis(500);
    // A replica without a beat for this long no longer counts as live; as in the fleet's own record.
    private static final Duration LIVES = Duration.ofSeconds(3);
    // Bytes of one history: about 500 replicas with traffic. Of a larger fleet its older part is left out.
    private static final int HISTORY = 8 << 20;
    // What the charts need of the past.
    private static final List<String> OF_THE_PAST = List.of("started", "flights", "waiters", "requests", "fetches",
            "fills",
            "fenced", "takeovers", "waits", "waitMillis", "latency");

    /** A replica as the fleet knows it; {@code status} is its {@link Vitals} as JSON. */
    public record Member(String id, Instant seen, boolean live, String status) {}

    /** The members at one time of the past, with the part of their status that the charts need. */
    public record Past(Instant time, List<Member> members) {}

    /** A purge, as people are told of it. */
    public record Purged(long position, Instant time, boolean soft, List<String> names, String by) {}

    /** The record of the fleet; errors when Redis is away. */
    public interface Fleet {

        /** Whether the history has no point of this replica for the time of {@code now} yet: every ten seconds. */
        boolean wantsPoint(Instant now);

        /**
         * Records this replica's status.
         *
         * @param point for the history; none when empty
         * @return another process that has this replica's id; empty when there is none
         */
        Mono<Optional<String>> beat(String status, Optional<String> point, Instant now);

        /** All members, by id. */
        Mono<List<Member>> members();

        /** The last five minutes, the oldest first. */
        Mono<List<Past>> history(Instant now);

        /** Removes this replica. */
        Mono<Void> leave();
    }

    /** A replica on the board. */
    private record Seat(Member member, ObjectNode status, Optional<Histogram> latency) {}

    private final String self;
    private final Supplier<Vitals> vitals;
    private final Fleet fleet;
    private final Supplier<List<Purged>> purges;
    private final Supplier<Instant> clock;
    private final Scheduler scheduler;
    private final ObjectMapper json;
    private final Disposable.Swap beating = Disposables.swap();
    private final Mono<String> current;
    private final Flux<String> samples;
    private final Histogram sincePoint = Latency.none(); // of one beat after the other
    private volatile List<Member> known = List.of();
    private volatile String status = "{}";
    private volatile Optional<String> duplicate = Optional.empty();
    private volatile boolean running;

    /**
     * @param self      this replica's id
     * @param purges    the latest first
     * @param clock     the fleet's
     * @param scheduler where beats and samples are timed
     */
    public Board(String self, Supplier<Vitals> vitals, Fleet fleet, Supplier<List<Purged>> purges,
            Supplier<Instant> clock, Scheduler scheduler, ObjectMapper json) {
        this.self = self;
        this.vitals = vitals;
        this.fleet = fleet;
        this.purges = purges;
        this.clock = clock;
        this.scheduler = scheduler;
        this.json = json;
        this.current = Mono.defer(this::read).cache(SHARED, scheduler);
        this.samples = Flux.interval(Duration.ZERO, BEAT, scheduler)
                .onBackpressureDrop()
                .concatMap(tick -> current, 1)
                .publish()
                .refCount();
    }

    @Override
    public void start() {
        running = true;
        beating.update(Flux.interval(Duration.ZERO, BEAT, scheduler)
                .onBackpressureDrop()
                .concatMap(tick -> beat(), 1)
                .subscribe(nothing -> {}, broken -> log.error("The fleet's board stands still", broken)));
    }

    @Override
    public void stop(Runnable done) {
        running = false;
        beating.dispose();
        fleet.leave().onErrorComplete().doFinally(end -> done.run()).subscribe();
    }

    @Override
    public void stop() {
        running = false;
        beating.dispose();
    }

    @Override
    public boolean isRunning() {
        return running;
    }

    /** After the link to the fleet, before the web server: a replica is known before it serves. */
    @Override
    public int getPhase() {
        return 2_000;
    }

    /** The fleet of now, as a JSON object; read at most half a second ago. */
    public Mono<String> current() {
        return current;
    }

    /** The fleet of the last five minutes: a JSON array, a sample each ten seconds, the oldest first; empty without Redis. */
    public Mono<String> history() {
        return Mono.defer(() -> fleet.history(clock.get()))
                // Decoding takes its time.
                .publishOn(Schedulers.boundedElastic())
                .map(this::history)
                .onErrorReturn("[]");
    }

    /** The fleet from now on, a JSON object a second; a slow subscriber misses some. Nothing is read without a subscriber. */
    public Flux<String> samples() {
        return samples.onBackpressureLatest();
    }

    /** Another live process that has this replica's id, as of the last beat; empty when there is none. */
    public Optional<String> duplicate() {
        return duplicate;
    }

    private Mono<Void> beat() {
        return Mono.defer(() -> {
            Vitals now = vitals.get();
            Instant time = clock.get();
            status = text(now);
            Latency.decode(now.latency()).ifPresent(sincePoint::add);
            Optional<String> point = fleet.wantsPoint(time) ? Optional.of(point(now)) : Optional.empty();
            return fleet.beat(status, point, time)
                    .doOnNext(other -> written(other, point.isPresent()))
                    // Redis is away: the gate says so, once.
                    .onErrorComplete()
                    .then();
        })
                // To read off a histogram may take a moment's sleep, until those who are just writing to it have done so.
                .subscribeOn(Schedulers.boundedElastic())
                .onErrorResume(broken -> {
                    log.error("A beat of the fleet's board failed", broken);
                    return Mono.empty();
                });
    }

    private void written(Optional<String> other, boolean point) {
        if (point) {
            sincePoint.reset();
        }
        if (!other.equals(duplicate)) {
            if (other.isPresent()) {
                log.error(
                        "Another live process of the fleet (incarnation {}) has the corral.replica-id {} of this one: "
                                + "give each replica an id of its own, or none",
                        other.get(), self);
            } else {
                log.info("The corral.replica-id {} is this process' own again", self);
            }
            duplicate = other;
        }
    }

    private String point(Vitals now) {
        ObjectNode point = json.valueToTree(now);
        point.retain(OF_THE_PAST);
        return text(point.put("latency", Latency.encode(sincePoint)));
    }

    private Mono<String> read() {
        return fleet.members()
                .doOnNext(members -> known = members)
                .onErrorResume(away -> Mono.fromSupplier(this::alone))
                .publishOn(Schedulers.boundedElastic())
                .map(members -> text(sample(clock.get(), members.stream().map(this::seat).toList())
                        .set("purges", json.valueToTree(purges.get().stream().limit(20).toList()))));
    }

    /** The others as they were last read, no longer live after a while; and this replica. */
    private List<Member> alone() {
        Instant now = clock.get();
        var members = new ArrayList<Member>();
        for (Member member : known) {
            if (!member.id().equals(self)) {
                boolean live = Duration.between(member.seen(), now).compareTo(LIVES) < 0;
                members.add(new Member(member.id(), member.seen(), live, member.status()));
            }
        }
        members.add(new Member(self, now, true, status));
        members.sort(Comparator.comparing(Member::id));
        return members;
    }

    private String history(List<Past> steps) {
        var kept = new ArrayDeque<String>();
        int bytes = 0;
        for (Past past : steps.reversed()) {
            String sample = text(sample(past.time(), past.members().stream().map(this::seat).toList()));
            bytes += sample.length();
            if (bytes > HISTORY) {
                break;
            }
            kept.addFirst(sample);
        }
        return "[" + String.join(",\n", kept) + "]";
    }

    private ObjectNode sample(Instant time, List<Seat> seats) {
        Histogram all = Latency.none();
        ObjectNode sample = json.createObjectNode().put("time", time.toString()).put("self", self);
        var replicas = sample.putArray("replicas");
        for (Seat seat : seats) {
            ObjectNode replica = replicas.addObject()
                    .put("id", seat.member.id())
                    .put("live", seat.member.live())
                    .put("seen", seat.member.seen().toString());
            replica.setAll(seat.status);
            percentiles(replica, seat.latency);
            seat.latency.filter(latency -> seat.member.live()).ifPresent(all::add);
        }
        percentiles(sample.putObject("fleet"), Optional.of(all));
        for (JsonNode replica : replicas) {
            share((ObjectNode) replica, all.getTotalCount());
        }
        return sample;
    }

    /** How much of the fleet's traffic it took; null when there was none, or when it no longer counts. */
    private static void share(ObjectNode replica, long total) {
        boolean counts = total > 0 && replica.path("live").asBoolean();
        replica.put("share", counts ? (Double) (replica.path("answered").asDouble() / total) : null);
    }

    private static void percentiles(ObjectNode node, Optional<Histogram> latency) {
        node.put("p50Millis", latency.flatMap(some -> Latency.millis(some, 50)).orElse(null));
        node.put("p99Millis", latency.flatMap(some -> Latency.millis(some, 99)).orElse(null));
        node.put("answered", latency.map(Histogram::getTotalCount).orElse(0L));
    }

    /** What a replica of another version says is shown as far as it is understood. */
    private Seat seat(Member member) {
        try {
            if (json.readTree(member.status()) instanceof ObjectNode status) {
                Optional<Histogram> latency = Latency.decode(status.path("latency").asText());
                status.remove("latency");
                return new Seat(member, status, latency);
            }
        } catch (JsonProcessingException strange) {
            log.debug("Replica {} says what nobody understands", member.id(), strange);
        }
        return new Seat(member, json.createObjectNode(), Optional.empty());
    }

    private String text(Object value) {
        try {
            return json.writeValueAsString(value);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("a board is JSON", impossible);
        }
    }
}
