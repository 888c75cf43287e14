package dev.corral.tier;

import dev.corral.coalesce.ByteBudget;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.TierUnavailable;
import dev.corral.coalesce.Timing;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.cluster.api.async.RedisClusterAsyncCommands;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import java.util.stream.Stream;
import reactor.core.publisher.Mono;
import reactor.util.retry.Retry;

import static dev.corral.tier.Script.bytes;

/**
 * The shared tier in Redis. Thread-safe.
 *
 * <p>Redisson takes the lock, once and without waiting, under a number that is unique for each flight; everything that gives it
 * back is a script of ours, which does nothing unless the lock still has this flight's holder. Redisson is never asked to
 * unlock: that would leave a key and a message of its own for each lock.
 *
 * <p>A value whose format this process does not know is absent for it, as it is while a newer version is rolled out.
 */
public final class RedisTier<V> implements SharedTier<Key, V> {

    // Who waited when the fetch failed looks within a poll and a round trip.
    private static final Duration FAILURE_LIFE = Duration.ofSeconds(3);

    // A server that hangs may grant an attempt when it goes on: its lock is given back within ten seconds of trying. A lock is some
    // hundred bytes here; beyond the bound the lease ends it.
    private static final int MOST_GIVEN_UP = 10_000;
    private static final int GIVE_BACK_TRIES = 20;
    private static final Duration GIVE_BACK_PAUSE = Duration.ofMillis(500);
    // Of what was sent to a server that hangs for longer the reply is no longer awaited.
    private static final Duration GIVE_BACK_LIMIT = Duration.ofSeconds(10);

    private final RedisConnections connections;
    private final RedisKeys redisKeys;
    private final RedisGate gate;
    private final Codec<V> codec;
    private final String replicaId;
    private final Duration poll;
    private final Duration waitLife;
    private final LongSupplier purgePosition;
    private final Supplier<Mono<Void>> syncPurges;
    private final ByteBudget encoding;
    private final Inbox inbox = new Inbox();
    private final AtomicLong flights = new AtomicLong();
    private final AtomicInteger givenUp = new AtomicInteger();

    /**
     * To be made before the connections are started.
     *
     * @param purgePosition the last purge position this replica knows of
     * @param syncPurges    reads the log of purges to its end, and begins it anew if it is lost
     * @param encoding      for the bytes of the entries that are being written
     * @param replicaId     unique for each process of the fleet; its inbox is named by it
     */
    public RedisTier(RedisConnections connections, RedisGate gate, Codec<V> codec, Timing timing,
            LongSupplier purgePosition, Supplier<Mono<Void>> syncPurges, String replicaId, ByteBudget encoding) {
        this.encoding = encoding;
        this.connections = connections;
        this.redisKeys = connections.keys();
        this.gate = gate;
        this.codec = codec;
        this.purgePosition = purgePosition;
        this.syncPurges = syncPurges;
        this.replicaId = replicaId;
        this.poll = timing.poll();
        // Outlives the longest sleep of a follower, which registers again each time it looks.
        this.waitLife = timing.lease().plus(timing.poll()).plus(timing.jitter());
        connections.listen(redisKeys.inboxChannel(replicaId), inbox::heard);
    }

    @Override
    public Mono<Seen<V>> find(Key key) {
        return entry(redisKeys.names(key)).mapNotNull(bytes -> seen(bytes).orElse(null));
    }

    /** Most of it is found unchanged: then only its version is read. */
    @Override
    public Mono<Seen<V>> find(Key key, Seen<V> known) {
        String entry = redisKeys.names(key).entry();
        int length = Envelope.headLength(known.version());
        return bodies(entry, redis -> Mono.fromCompletionStage(() -> redis.getrange(entry, 0, length - 1L)))
                .filter(head -> Envelope.begins(head, known.version()))
                .map(same -> known)
                .switchIfEmpty(Mono.defer(() -> find(key)));
    }

    @Override
    public Mono<Attempt<Key>> tryLead(Key key, Duration ttl) {
        return Mono.defer(() -> {
            String lock = redisKeys.names(key).lock();
            long flight = flights.incrementAndGet();
            // A connection that breaks is replaced, and with it what Redisson calls itself: each try may have a name of its own.
            var tries = new ConcurrentLinkedQueue<Try>();
            Mono<String> winner = gate.guard(lock, Mono.defer(() -> {
                var one = new Try(holder(flight), tryLock(lock, ttl, flight));
                tries.add(one);
                // Not cancelled with its caller: it may be granted, and only its reply says so.
                return Mono.fromFuture(one.won(), true).map(won -> won ? one.holder() : "");
            }));
            // The time is only of interest to a loser: the winner neither waits for it nor fails with it.
            CompletableFuture<Long> now = control(lock,
                    redis -> TierScripts.NOW.<Long>run(redis, ScriptOutputType.INTEGER, List.of(lock)))
                    .toFuture();
            return winner.flatMap(holder -> holder.isEmpty()
                    ? Mono.fromFuture(now).<Attempt<Key>>map(Attempt.Lost::new)
                    : Mono.<Attempt<Key>>just(new Attempt.Led<>(new Lease<>(key, holder))))
                    .doFinally(end -> now.cancel(false))
                    .doOnNext(attempt -> giveBack(key, tries,
                            attempt instanceof Attempt.Led<Key>(Lease<Key> lease) ? lease.holder() : ""))
                    .doOnCancel(() -> giveBack(key, tries, ""))
                    .doOnError(failed -> giveBack(key, tries, ""));
        });
    }

    /** One sending of an attempt, and whether it was granted. */
    private record Try(String holder, CompletableFuture<Boolean> won) {

        boolean lost() {
            return won.isDone() && !won.isCompletedExceptionally() && !won.join();
        }
    }

    /**
     * Every try but the one that is kept may have been granted, or may still be. Its lock is given back as soon as that is known, and
     * Redis can be reached: earlier the release, on another connection, would overtake it.
     */
    private void giveBack(Key key, Collection<Try> tries, String kept) {
        for (Try one : tries) {
            if (one.holder().equals(kept) || one.lost()) {
                continue;
            }
            // Beyond the bound a lock lapses by itself, after its lease.
            if (givenUp.incrementAndGet() > MOST_GIVEN_UP) {
                givenUp.decrementAndGet();
                return;
            }
            Mono.fromFuture(one.won(), true)
                    .timeout(GIVE_BACK_LIMIT)
                    .onErrorReturn(true)
                    .filter(won -> won)
                    .flatMap(won -> release(new Lease<>(key, one.holder()), Ring.LANDED)
                            .retryWhen(Retry.fixedDelay(GIVE_BACK_TRIES, GIVE_BACK_PAUSE)))
                    .onErrorComplete()
                    .doFinally(end -> givenUp.decrementAndGet())
                    .subscribe();
        }
    }

    @Override
    public Mono<Ground<V>> stand(Lease<Key> lease) {
        Names names = redisKeys.names(lease.key());
        Mono<Optional<Envelope>> there = entry(names).map(Envelope::open).defaultIfEmpty(Optional.empty());
        Mono<Boolean> held = control(names.lock(),
                redis -> Mono.fromCompletionStage(() -> redis.hexists(names.lock(), lease.holder())));
        return Mono.zip(there, position(), held).map(all -> {
            if (!all.getT3()) {
                connections.doubt("a lock is not where the entries are");
            }
            return new Ground<>(all.getT1().flatMap(this::seen), all.getT1().map(Envelope::version), all.getT2(),
                    all.getT3());
        });
    }

    /**
     * The fleet's purge position. Missing, or below what this replica knows, it was lost: then the log is put in order first, or
     * whatever is fetched now would be taken to be purged. Without the log's server what this replica knows is the position: an
     * older one is safe.
     */
    private Mono<Long> position() {
        return readPosition()
                .filter(position -> position >= Math.max(1, purgePosition.getAsLong()))
                .switchIfEmpty(Mono.defer(() -> syncPurges.get().then(readPosition())))
                .onErrorResume(TierUnavailable.class, away -> gate.open()
                        ? Mono.error(away)
                        : Mono.fromSupplier(purgePosition::getAsLong));
    }

    private Mono<Long> readPosition() {
        return control(redisKeys.purgePosition(),
                redis -> Mono.fromCompletionStage(() -> redis.get(redisKeys.purgePosition())))
                .map(bytes -> Long.parseLong(Script.text(bytes)))
                .defaultIfEmpty(0L);
    }

    @Override
    public Mono<Boolean> renew(Lease<Key> lease, Duration ttl) {
        List<String> keys = List.of(redisKeys.names(lease.key()).lock());
        return gate.guard(keys.getFirst(),
                Mono.defer(() -> TierScripts.RENEW.<Long>run(connections.leases(), ScriptOutputType.INTEGER, keys,
                        bytes(lease.holder()), bytes(millis(ttl)))))
                .map(held -> held == 1);
    }

    @Override
    public Mono<Published> publish(Lease<Key> lease, Optional<String> stoodOn, List<Write<Key, V>> writes) {
        Names names = redisKeys.names(lease.key());
        Stream<String> own = Stream.of(names.entry(), names.lock(), names.waiters(), names.fail());
        List<String> keys = Stream.concat(own, writes.stream().map(write -> redisKeys.names(write.key()).entry()))
                .toList();
        long size = writes.stream().mapToLong(write -> codec.size(write.value())).sum();
        // Many at once take their turns: each has its bytes twice, here and in the connection's buffer.
        return Mono.usingWhen(encoding.take(size),
                permit -> Mono.fromSupplier(() -> arguments(lease, stoodOn, writes))
                        .flatMap(arguments -> bodies(names.entry(),
                                redis -> TierScripts.PUBLISH.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                                        arguments))),
                permit -> Mono.fromRunnable(permit::close))
                .map(RedisTier::published)
                .doOnNext(published -> {
                    if (published == Published.FENCED) {
                        connections.doubt("a lock was lost");
                    }
                });
    }

    @Override
    public Mono<Void> release(Lease<Key> lease, Ring ring) {
        Names names = redisKeys.names(lease.key());
        List<String> keys = List.of(names.entry(), names.lock(), names.waiters());
        return control(names.lock(),
                redis -> TierScripts.RELEASE.<Long>run(redis, ScriptOutputType.INTEGER, keys, bytes(lease.holder()),
                        bytes(Inbox.letter(ring)), bytes(redisKeys.inboxPrefix())))
                .then();
    }

    @Override
    public Mono<Void> fail(Lease<Key> lease, V failure) {
        Names names = redisKeys.names(lease.key());
        List<String> keys = List.of(names.entry(), names.lock(), names.waiters(), names.fail());
        return Mono.fromSupplier(() -> codec.encode(failure))
                .flatMap(bytes -> control(names.lock(),
                        redis -> TierScripts.FAIL.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                                bytes(lease.holder()), bytes, bytes(millis(FAILURE_LIFE)),
                                bytes(redisKeys.inboxPrefix()))))
                .then();
    }

    @Override
    public Mono<Sight<V>> follow(Key key, Optional<String> version, long since) {
        Names names = redisKeys.names(key);
        List<String> keys = List.of(names.entry(), names.lock(), names.waiters(), names.fail());
        return control(names.lock(), redis -> TierScripts.FOLLOW.<List<Object>>run(redis, ScriptOutputType.MULTI, keys,
                bytes(version.orElse("")), bytes(since), bytes(replicaId), bytes(millis(waitLife))))
                .flatMap(answer -> sight(key, since, answer));
    }

    @Override
    public Latch listen(Key key) {
        return inbox.open(redisKeys.names(key).entry());
    }

    private Mono<Sight<V>> sight(Key key, long since, List<Object> answer) {
        return switch (Script.text(answer.getFirst())) {
            case "C" -> entry(redisKeys.names(key)).flatMap(entry -> changed(key, since, entry))
                    // It has lapsed or was evicted in between.
                    .switchIfEmpty(Mono.just(new Sight.Free<>()));
            // A failure this process cannot read: an attempt of its own will tell it what is wrong.
            case "F" -> Mono.just(codec.decode(ByteBuffer.wrap((byte[]) answer.getLast()))
                    .<Sight<V>>map(Sight.Failed::new)
                    .orElseGet(Sight.Free::new));
            case "N" -> Mono.just(new Sight.Free<>());
            case "W" -> Mono.just(new Sight.Waiting<>(left((long) answer.getLast())));
            default -> Mono.error(new IllegalStateException("the script answered " + answer));
        };
    }

    /** What this process cannot read is absent, and not a change: it follows as if it had seen it before. */
    private Mono<Sight<V>> changed(Key key, long since, byte[] entry) {
        Optional<Seen<V>> seen = seen(entry);
        if (seen.isPresent()) {
            return Mono.just(new Sight.Changed<>(seen.get()));
        }
        Optional<String> unreadable = Envelope.open(entry).map(Envelope::version);
        return unreadable.isPresent() ? follow(key, unreadable, since) : Mono.just(new Sight.Waiting<>(poll));
    }

    private Duration left(long millis) {
        // -1: a lock without an end is none of ours.
        return millis < 0 ? poll : Duration.ofMillis(Math.max(1, millis));
    }

    /** Never waits and never without a lease: both would make Redisson keep state for the lock. */
    private CompletableFuture<Boolean> tryLock(String name, Duration ttl, long flight) {
        return connections.redisson()
                .getLock(name)
                .tryLockAsync(0, millis(ttl), TimeUnit.MILLISECONDS, flight)
                .toCompletableFuture();
    }

    /** As Redisson writes it into the lock. */
    private String holder(long flight) {
        return connections.redisson().getId() + ":" + flight;
    }

    private byte[][] arguments(Lease<Key> lease, Optional<String> stoodOn, List<Write<Key, V>> writes) {
        var arguments = new ArrayList<byte[]>(List.of(bytes(lease.holder()), bytes(stoodOn.orElse(""))));
        for (Write<Key, V> write : writes) {
            arguments.add(bytes(millis(write.life())));
            arguments.add(codec.encode(Envelope.head(lease.holder()), write.value()));
        }
        arguments.add(bytes(redisKeys.inboxPrefix()));
        return arguments.toArray(byte[][]::new);
    }

    private static Published published(long answer) {
        return switch ((int) answer) {
            case 0 -> Published.FENCED;
            case 1 -> Published.STORED;
            default -> Published.FULL;
        };
    }

    private Mono<byte[]> entry(Names names) {
        return bodies(names.entry(), redis -> Mono.fromCompletionStage(() -> redis.get(names.entry())));
    }

    private Optional<Seen<V>> seen(byte[] entry) {
        return Envelope.open(entry).flatMap(this::seen);
    }

    private Optional<Seen<V>> seen(Envelope envelope) {
        return codec.decode(envelope.payload()).map(value -> new Seen<>(value, envelope.version()));
    }

    private <T> Mono<T> control(String key, Function<RedisClusterAsyncCommands<String, byte[]>, Mono<T>> command) {
        return gate.guard(key, Mono.defer(() -> command.apply(connections.control())));
    }

    private <T> Mono<T> bodies(String key, Function<RedisClusterAsyncCommands<String, byte[]>, Mono<T>> command) {
        return gate.guard(key, Mono.defer(() -> command.apply(connections.bodies())));
    }

    /** Redis refuses a life of nothing. */
    private static long millis(Duration duration) {
        return Math.max(1, duration.toMillis());
    }
}
