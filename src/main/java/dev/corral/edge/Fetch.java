package dev.corral.edge;

import dev.corral.coalesce.Filled;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.SharedTier.Write;
import dev.corral.http.Ailing;
import dev.corral.http.Asked;
import dev.corral.http.Body;
import dev.corral.http.Entry;
import dev.corral.http.Failure;
import dev.corral.http.Fields;
import dev.corral.http.Head;
import dev.corral.http.HitForMiss;
import dev.corral.http.Policy;
import dev.corral.http.Reuse;
import dev.corral.http.Stored;
import dev.corral.http.Storing;
import dev.corral.http.Streams;
import dev.corral.http.Validation;
import dev.corral.http.Variant;
import dev.corral.http.Varies;
import dev.corral.origin.Answer;
import dev.corral.origin.Intake;
import dev.corral.origin.MemoryFullException;
import dev.corral.origin.OriginFailed;
import dev.corral.origin.OriginFull;
import dev.corral.origin.OriginShut;
import dev.corral.origin.Outgoing;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;
import org.springframework.core.io.buffer.DataBuffer;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * The fetches of one request: asks the origin, decides by the rules of {@code http} who may have the answer, and names what is
 * to be written where. Holds the answer that is for this request alone until it is written or the request has ended.
 */
final class Fetch {

    /** How long those who wait find a pointer in the lane they wait in: longer than the poll of a second. */
    private static final Duration ONWARD = Duration.ofSeconds(3);

    /** What a fetch for one request came to. */
    sealed interface Alone {

        /**
         * An answer for this request.
         *
         * @param stored whether it was offered to the others as well
         */
        record Own(Answer answer, boolean stored) implements Alone {}

        /** No answer. */
        record Lost(Failure failure) implements Alone {}
    }

    private final Edge edge;
    private final Request request;
    private final AtomicReference<@Nullable Answer> own = new AtomicReference<>();
    /** The request fields that select among the variants that are stored of the resource, as far as this request has seen. */
    private volatile List<String> beside = List.of();
    /** What fetches for everybody have collected, by their flights. */
    private final Map<Key, Memory.Collected> collected = new ConcurrentHashMap<>();
    private volatile boolean begun;
    private volatile int status;
    private volatile boolean left;
    /** What the resource's responses are known to vary by. */
    private volatile List<String> varied = List.of();
    /** The last fetch that others may profit from; empty when it is not traced. */
    private volatile String trace = "";

    Fetch(Edge edge, Request request) {
        this.edge = edge;
        this.request = request;
    }

    /** There are variants of the resource, selected by these fields: a response without {@code Vary} does not hide them. */
    void besides(List<String> names) {
        beside = names;
    }

    /** Whether this request's own fetch has begun. */
    boolean begun() {
        return begun;
    }

    /** The origin's last answer to this request's own fetches, by its status. */
    int status() {
        return status;
    }

    /** This request's last fetch in words that are not its client's own, as in {@link Entry#trace()}. */
    String trace() {
        return trace;
    }

    /** The answer that is for this request alone; empty when there is none. */
    Optional<Answer> own() {
        return Optional.ofNullable(own.get());
    }

    /** What the resource's responses are known to vary by. */
    List<String> varied() {
        return varied;
    }

    /** From now on shared fetches carry these fields, whatever the route's allow-list says. */
    void varied(List<String> names) {
        varied = names;
    }

    /** Closes the connection of an answer for this request alone whose body has not been read; whether there was one. */
    boolean drop() {
        if (own.get() instanceof Answer.Streaming streaming && own.compareAndSet(streaming, null)) {
            streaming.discard();
            return true;
        }
        return false;
    }

    /** A flight that this request has opened has ended. */
    void ended(Key flight) {
        Memory.Collected taken = collected.remove(flight);
        if (taken != null) {
            taken.close();
        }
    }

    /** The request has ended: what nobody will read is dropped. */
    void leave() {
        left = true;
        own().ifPresent(Fetch::discard);
    }

    /**
     * One fetch for everybody who waits in the flight of this key.
     *
     * @param stale    what is there and could be validated, or stand in if the fetch fails
     * @param judged   whether it was judged by every purge up to {@code position}
     * @param failures how often in a row the origin has failed before
     */
    Mono<Filled<Key, Entry>> fill(Key flight, Optional<Stored> stale, boolean judged, int failures, long position) {
        begun = true;
        var memory = edge.memory().collected();
        Memory.Collected before = collected.put(flight, memory);
        if (before != null) {
            // Of an earlier flight of this request for the same key, whose write may not have ended.
            before.close();
        }
        var fill = new Fill(flight, stale, judged, failures, position, memory);
        return Mono.defer(() -> fill.run(stale.filter(Validation::possible)))
                .onErrorResume(OriginFailed.class,
                        failed -> Mono.just(fill.fail(failure(failed, position), false, Optional.empty())))
                .onErrorResume(Fetch::expected, error -> Mono.just(new Filled.Fail<>(failure(error, position))))
                .map(this::traced);
    }

    /** With the fetch in every entry of it, for those who wait to link to. */
    private Filled<Key, Entry> traced(Filled<Key, Entry> filled) {
        if (trace.isEmpty()) {
            return filled;
        }
        return switch (filled) {
            case Filled.Share<Key, Entry>(Entry value, List<Write<Key, Entry>> writes, boolean lasting) ->
                new Filled.Share<>(value.traced(trace), traced(writes), lasting);
            case Filled.Withhold<Key, Entry>(List<Write<Key, Entry>> writes) -> new Filled.Withhold<>(traced(writes));
            case Filled.Fail<Key, Entry>(Entry failure) -> new Filled.Fail<>(failure.traced(trace));
        };
    }

    private List<Write<Key, Entry>> traced(List<Write<Key, Entry>> writes) {
        return writes.stream()
                .map(write -> new Write<>(write.key(), write.value().traced(trace), write.life()))
                .toList();
    }

    /** One fetch for this request alone, in the client's own words. */
    Mono<Alone> alone(Optional<Flux<DataBuffer>> body) {
        return fetched(position -> ask(request.own(body), true, bytes -> true, Fetch::passing).map(answer -> {
            keep(answer);
            return new Alone.Own(answer, false);
        }));
    }

    /**
     * One fetch for this request alone; if its answer turns out to be for everybody, it is offered to the others. What might be
     * theirs is asked for in words that have nothing of this client's own: else one client could have stored what he likes.
     *
     * @param at        where the others look
     * @param inPlaceOf the version of what is stored there
     */
    Mono<Alone> alone(Key at, String inPlaceOf) {
        if (!request.plain() || request.isCut(varied)) {
            return alone(Optional.empty());
        }
        return fetched(position -> {
            var decision = new Decision(request.asked());
            var memory = edge.memory().collected();
            return ask(request.shared(Fields.NONE, varied), false, memory,
                    head -> decision.on(head) instanceof Storing.Share share ? collecting(head, share) : passing(head))
                    .flatMap(answer -> kept(at, inPlaceOf, decision, answer, position))
                    .doFinally(end -> memory.close());
        });
    }

    private Mono<Alone> fetched(LongFunction<Mono<Alone>> fetch) {
        begun = true;
        // Older than what the leader of a flight would read, and so on the safe side.
        long position = edge.purges().position();
        return Mono.defer(() -> fetch.apply(position))
                .onErrorResume(Fetch::expected, error -> Mono.just(new Alone.Lost(failure(error, position))));
    }

    private Mono<Alone> kept(Key at, String inPlaceOf, Decision decision, Answer answer, long position) {
        keep(answer);
        if (answer instanceof Answer.Whole whole && decision.on(answer.head()) instanceof Storing.Share share) {
            return edge.coalescer()
                    .offer(at, inPlaceOf, traced(writes(at, stored(share, whole.body(), position))))
                    .map(stored -> new Alone.Own(answer, stored));
        }
        return Mono.just(new Alone.Own(answer, false));
    }

    private void keep(Answer answer) {
        own.set(answer);
        if (left) {
            discard(answer);
        }
    }

    private static void discard(Answer answer) {
        if (answer instanceof Answer.Streaming streaming) {
            streaming.discard();
        }
    }

    private Mono<Answer> ask(Outgoing outgoing, boolean mine, LongPredicate memory,
            Function<Head, Intake> intake) {
        return Mono.defer(() -> {
            long start = System.nanoTime();
            Tracing.Leg leg = request.trace().fetch(outgoing, mine);
            trace = mine ? "" : leg.id();
            return request.route()
                    .origin()
                    .fetch(leg.outgoing(), intake, request.interims(), memory)
                    .doOnNext(answer -> {
                        status = answer.head().status();
                        told("answered", start);
                        leg.answered(status);
                    })
                    .doOnError(leg::failed)
                    .doOnError(OriginFailed.class, failed -> told(token(failed.reason()), start))
                    .doOnCancel(() -> {
                        told("cancelled", start);
                        leg.cancelled();
                    });
        });
    }

    private static Intake passing(Head head) {
        return Streams.declared(head) ? Intake.STREAM_WITH_PAUSES : Intake.STREAM;
    }

    private static Intake collecting(Head head, Storing.Share share) {
        return Streams.possible(head, share) ? Intake.COLLECT_BRIEFLY : Intake.COLLECT;
    }

    private void told(String result, long start) {
        edge.traffic().fetched(request.route().id(), result, Duration.ofNanos(System.nanoTime() - start));
    }

    private Stored stored(Storing.Share share, Body body, long position) {
        Stored stored = Stored.of(request.address().text(), request.sharedAsked(varied), share, policy(), position,
                body);
        return Variant.names(stored.head()).isEmpty() ? stored.inPlaceOf(beside) : stored;
    }

    /**
     * Where everything goes: the object under its variant, the pointer to it, and a way on for those who wait elsewhere. Of too many
     * variants the least used one gives way.
     */
    private List<Write<Key, Entry>> writes(Key flight, Stored stored) {
        Key resource = request.address().resource();
        Key object = request.address().variant(stored.selecting());
        var pointer = new Varies(stored.key(), Variant.names(stored.head()), stored.position());
        var writes = new ArrayList<Write<Key, Entry>>();
        writes.add(new Write<>(object, stored, stored.terms().life()));
        if (!object.equals(resource)) {
            // A pointer in the place of a variant is nothing that a request could use, and soon gone.
            edge.variants()
                    .admit(resource, object, policy().variants())
                    .filter(removed -> !removed.equals(flight))
                    .ifPresent(removed -> writes.add(new Write<>(removed, pointer, ONWARD)));
            // As long as any variant may live: without it the next request would lead for the whole resource again.
            writes.add(new Write<>(resource, pointer, policy().maxLife()));
        }
        if (!flight.equals(object) && !flight.equals(resource)) {
            writes.add(new Write<>(flight, pointer, ONWARD));
        }
        return writes;
    }

    private Policy policy() {
        return request.route().policy();
    }

    private static boolean expected(Throwable error) {
        return error instanceof OriginFailed || error instanceof OriginShut || error instanceof OriginFull
                || error instanceof MemoryFullException;
    }

    private Failure failure(Throwable error, long position) {
        Problem problem = switch (error) {
            case OriginFailed failed -> switch (failed.reason()) {
                case UNREACHABLE -> Problem.ORIGIN_UNREACHABLE;
                case TIMED_OUT -> Problem.ORIGIN_TIMED_OUT;
                case CUT_SHORT -> Problem.ORIGIN_CUT_SHORT;
                case MALFORMED -> Problem.ORIGIN_MALFORMED;
            };
            case OriginShut shut -> Problem.ORIGIN_SHUT;
            case OriginFull full -> Problem.ORIGIN_FULL;
            case MemoryFullException full -> Problem.MEMORY_FULL;
            default -> Problem.INTERNAL;
        };
        Optional<Duration> wait = error instanceof OriginShut shut ? Optional.of(shut.retryAfter()) : Optional.empty();
        return new Failure(request.address().text(), problem.reason(), problem.status(), Optional.empty(), wait,
                position);
    }

    private static String token(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** What the rules say of an answer, decided once, when its head is there. Not thread-safe: signals come one by one. */
    private final class Decision {

        private final Asked asked;
        private final Instant requestTime = edge.clock().instant();
        private @Nullable Storing storing;

        Decision(Asked asked) {
            this.asked = asked;
        }

        Storing on(Head head) {
            Storing decided = storing;
            if (decided == null) {
                decided = Storing.decide(asked, head, policy(), requestTime, edge.clock().instant());
                storing = decided;
            }
            return decided;
        }
    }

    /** One fetch for everybody who waits. */
    private final class Fill {

        private final Key flight;
        private final LongPredicate memory;
        private final Optional<Stored> stale;
        private final boolean judged;
        private final int failures;
        private final long position;

        Fill(Key flight, Optional<Stored> stale, boolean judged, int failures, long position, LongPredicate memory) {
            this.memory = memory;
            this.flight = flight;
            this.stale = stale;
            this.judged = judged;
            this.failures = failures;
            this.position = position;
        }

        /** Asks, on condition if there is something to validate. */
        Mono<Filled<Key, Entry>> run(Optional<Stored> base) {
            // That nothing is to be stored does not keep those who wait from sharing it.
            var decision = new Decision(request.asked().withoutDirectives());
            Fields conditions = base.map(Validation::conditions).orElse(Fields.NONE);
            return ask(request.shared(conditions, varied), false, memory, head -> intake(base, decision, head))
                    .flatMap(answer -> base.isPresent() && answer.head().status() == 304
                            ? validated(base.get(), decision, answer)
                            : Mono.just(filled(decision, answer)));
        }

        private Intake intake(Optional<Stored> base, Decision decision, Head head) {
            if (base.isPresent() && head.status() == 304) {
                return Intake.COLLECT;
            }
            return switch (decision.on(head)) {
                case Storing.Share share -> collecting(head, share);
                case Storing.Fail fail -> Streams.declared(head) ? passing(head) : Intake.COLLECT;
                case Storing.Withhold withhold -> passing(head);
            };
        }

        /**
         * A 304 never revives what a purge removed: the body it confirms keeps its position, unless no purge up to this fill's had
         * removed it. A soft purge that led to this validation is then done with.
         */
        private Mono<Filled<Key, Entry>> validated(Stored base, Decision decision, Answer answer) {
            Optional<Stored> freshened = Validation.freshen(base, answer.head(), request.sharedAsked(varied), policy(),
                    decision.requestTime, edge.clock().instant(), judged ? position : base.position());
            return freshened.isPresent() ? Mono.just(share(freshened.get())) : Mono.defer(() -> run(Optional.empty()));
        }

        private Filled<Key, Entry> filled(Decision decision, Answer answer) {
            return switch (answer) {
                case Answer.Whole whole -> whole(decision.on(whole.head()), whole);
                case Answer.Streaming streaming -> streaming(decision.on(streaming.head()), streaming);
            };
        }

        private Filled<Key, Entry> whole(Storing storing, Answer.Whole whole) {
            return switch (storing) {
                case Storing.Share share -> standIn(true, whole.head().status()).isPresent()
                        // It may be stored, but not in place of a good answer that may still be served.
                        ? fail(failure(whole.head(), Optional.empty()), true, Optional.empty())
                        : share(stored(share, whole.body(), position));
                case Storing.Withhold withhold -> withhold(withhold, whole);
                case Storing.Fail fail -> failed(fail, whole);
            };
        }

        private Filled<Key, Entry> streaming(Storing storing, Answer.Streaming streaming) {
            return switch (storing) {
                case Storing.Share share -> {
                    keepForMe(streaming);
                    yield new Filled.Withhold<>(
                            List.of(marker(uncollected(share, streaming), policy().hitForMiss())));
                }
                case Storing.Withhold withhold -> withhold(withhold, streaming);
                case Storing.Fail fail -> fail(failure(streaming.head(), Optional.empty()), true,
                        Optional.of(streaming));
            };
        }

        /** Why a response that may be shared was not collected. */
        private String uncollected(Storing.Share share, Answer.Streaming streaming) {
            if (Streams.possible(streaming.head(), share)) {
                return "stream";
            }
            Duration time = Duration.between(streaming.requestTime(), edge.clock().instant());
            return time.compareTo(request.route().upstream().timeout()) >= 0 ? "too-slow" : "too-large";
        }

        private Filled<Key, Entry> share(Stored stored) {
            if (policy().forbidsStoring(request.asked())) {
                Stored passing = stored.with(stored.terms().forThoseWhoWait());
                return new Filled.Share<>(passing, List.of(new Write<>(flight, passing, ONWARD)), false);
            }
            // Whether the same request would be served by it if it came again.
            boolean lasting = switch (Reuse.decide(request.asked(), stored, policy(), edge.clock().instant())) {
                case Reuse.Serve serve -> true;
                case Reuse.ServeAndRefresh again -> true;
                case Reuse.Validate validate -> false;
                case Reuse.Refuse refuse -> false;
            };
            return new Filled.Share<>(stored, writes(flight, stored), lasting);
        }

        private Filled<Key, Entry> withhold(Storing.Withhold withhold, Answer answer) {
            if (answer.head().status() >= 500) {
                // A failing origin is not asked again by everybody who waits: they are told its status, and no more.
                return fail(failure(answer.head(), Optional.empty()), true, Optional.of(answer));
            }
            keepForMe(answer);
            return new Filled.Withhold<>(withhold.remember()
                    ? List.of(marker(withhold.reason(), policy().hitForMiss()))
                    : List.of());
        }

        /** The response for one request is this one's, unless that was asked in other words than its own: then it asks again. */
        private void keepForMe(Answer answer) {
            if (request.isCut(varied)) {
                discard(answer);
            } else {
                keep(answer);
            }
        }

        private Filled<Key, Entry> failed(Storing.Fail fail, Answer.Whole whole) {
            if (!fail.shareable() || personal()) {
                return fail(failure(whole.head(), Optional.empty()), true, Optional.of(whole));
            }
            Asked asked = request.sharedAsked(varied);
            Fields selecting = Variant.selecting(Variant.names(whole.head()), asked.fields(), policy());
            var said = new Failure.Answer(whole.head(), selecting, whole.body());
            return fail(failure(whole.head(), Optional.of(said)), true, Optional.empty());
        }

        /** An error page often tells whoever is logged in about himself, without saying so. */
        private boolean personal() {
            Asked asked = request.asked();
            return asked.authorized() || (asked.cookied() && !policy().shareWithCookies());
        }

        /**
         * The fetch has failed: stale, where that is allowed, and then nobody of the fleet asks again for a while; else the
         * failure, for everybody who waits.
         *
         * @param mine what the origin said to this request alone
         */
        Filled<Key, Entry> fail(Failure failure, boolean answered, Optional<Answer> mine) {
            Optional<Stored> standIn = standIn(answered, failure.status());
            if (standIn.isPresent()) {
                mine.ifPresent(Fetch::discard);
                Instant now = edge.clock().instant();
                var ailing = Ailing.after(standIn.get(), failures, failure, answered, now);
                Duration left = standIn.get().left(now);
                return new Filled.Share<>(ailing,
                        List.of(new Write<>(flight, ailing, left.compareTo(ONWARD) > 0 ? left : ONWARD)), true);
            }
            mine.ifPresent(Fetch.this::keep);
            return new Filled.Fail<>(failure);
        }

        private Optional<Stored> standIn(boolean answered, int status) {
            // Only where the flight is in the stored answer's own place is there room to say that it is ailing.
            return stale.filter(old -> flight.equals(request.address().variant(old.selecting()))
                    && (!answered || Reuse.error(status))
                    && edge.isolation().allows(old, edge.clock().instant())
                    && Reuse.standsIn(request.asked(), old, policy(), answered, status, edge.clock().instant()));
        }

        private Failure failure(Head head, Optional<Failure.Answer> answer) {
            return new Failure(request.address().text(), Problem.ORIGIN_FAILED, head.status(), answer,
                    Failure.retryAfter(head, edge.clock().instant()), position);
        }

        private Write<Key, Entry> marker(String reason, Duration life) {
            return new Write<>(flight, new HitForMiss(request.address().text(), reason, position), life);
        }
    }
}
