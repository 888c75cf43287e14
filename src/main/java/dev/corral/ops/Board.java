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
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import org.HdrHistogram.Histogram;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.SmartLifecycle;
import reactor.core.Disposable;
import reactor.core.Disposables;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * The fleet's board: once a second this replica tells the others how it is, hears how they are, and keeps what it heard for the
 * last five minutes, for whoever opens the dashboard. Thread-safe.
 *
 * <p>While Redis is away it shows this replica, and the others as they were last heard of.
 */
public final class Board implements SmartLifecycle {

    private static final Logger log = LoggerFactory.getLogger(Board.class);

    private static final Duration BEAT = Duration.ofSeconds(1);
    private static final int KEPT = 300;
    // Who is not heard of for this long is no longer counted on; as in the fleet's own record.
    private static final Duration LIVES = Duration.ofSeconds(3);

    /** A replica as the fleet knows it; {@code status} is its {@link Vitals} as JSON. */
    public record Member(String id, Instant seen, boolean live, String status) {}

    /** A purge, as people are told of it. */
    public record Purged(long position, Instant time, boolean soft, List<String> names, String by) {}

    /** A replica on the board. */
    private record Seat(Member member, ObjectNode status, Optional<Histogram> latency) {}

    private final String self;
    private final Supplier<Vitals> vitals;
    private final Function<String, Mono<List<Member>>> beat;
    private final Mono<Void> leave;
    private final Supplier<List<Purged>> purges;
    private final Supplier<Instant> clock;
    private final Scheduler scheduler;
    private final ObjectMapper json;
    private final Disposable.Swap beating = Disposables.swap();
    private final Sinks.Many<String> samples = Sinks.many().multicast().directBestEffort();
    private final Deque<String> kept = new ArrayDeque<>(); // guarded by itself; the oldest first
    private volatile List<Member> known = List.of();
    private volatile boolean running;

    /**
     * @param self      this replica's id
     * @param beat      tells the fleet this replica's status, and gives all members
     * @param leave     says goodbye
     * @param purges    the latest first
     * @param clock     the fleet's
     * @param scheduler where the beats are timed
     */
    public Board(String self, Supplier<Vitals> vitals, Function<String, Mono<List<Member>>> beat, Mono<Void> leave,
            Supplier<List<Purged>> purges, Supplier<Instant> clock, Scheduler scheduler, ObjectMapper json) {
        this.self = self;
        this.vitals = vitals;
        this.beat = beat;
        this.leave = leave;
        this.purges = purges;
        this.clock = clock;
        this.scheduler = scheduler;
        this.json = json;
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
        leave.onErrorComplete().doFinally(end -> done.run()).subscribe();
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

    /** What was seen in the last five minutes: JSON, one object a second, the oldest first. */
    public List<String> history() {
        synchronized (kept) {
            return List.copyOf(kept);
        }
    }

    /** What is seen from now on, a JSON object a second. Whoever is slow misses some. */
    public Flux<String> samples() {
        return samples.asFlux();
    }

    /** The members as last heard of, by id. */
    public List<Member> members() {
        return known;
    }

    private Mono<Void> beat() {
        return Mono.defer(() -> {
            Vitals now = vitals.get();
            String status = text(now);
            return beat.apply(status)
                    // Redis is away: the gate says so, once.
                    .onErrorResume(away -> Mono.just(alone(status)))
                    .doOnNext(this::show)
                    .then();
        })
                // To read off a histogram may take a moment's sleep, until those who are just writing to it have done so.
                .subscribeOn(Schedulers.boundedElastic())
                .onErrorResume(broken -> {
                    log.error("A beat of the fleet's board failed", broken);
                    return Mono.empty();
                });
    }

    /** The others as they were last heard of, no longer counted on after a while; and this replica. */
    private List<Member> alone(String status) {
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

    private void show(List<Member> members) {
        known = members;
        String sample = text(sample(members.stream().map(this::seat).toList()));
        synchronized (kept) {
            kept.addLast(sample);
            if (kept.size() > KEPT) {
                kept.removeFirst();
            }
        }
        samples.tryEmitNext(sample);
    }

    private ObjectNode sample(List<Seat> seats) {
        Histogram all = Latency.none();
        ObjectNode sample = json.createObjectNode().put("time", clock.get().toString()).put("self", self);
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
        sample.set("purges", json.valueToTree(purges.get().stream().limit(20).toList()));
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
