package dev.corral.redis;

import dev.corral.coalesce.CoalescerLimits;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.TierKey;
import dev.corral.coalesce.TierUnavailableException;
import dev.corral.memory.ByteBudget;
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

import static dev.corral.redis.LuaScript.utf8Bytes;

/**
 * The shared tier in Redis. Thread-safe.
 *
 * <p>Redisson takes the lock, once and without waiting, under a number that is unique for each flight; everything that gives it
 * back is a script of ours, which does nothing unless the lock still has this flight's holder. Redisson is never asked to
 * unlock: that would leave a key and a message of its own for each lock.
 *
 * <p>A value whose format this process does not know is absent for it, as it is while a newer version is rolled out.
 */
public final class RedisTier<V> implements SharedTier<TierKey, V> {

    // Who waited when the fetch failed looks within a poll and a round trip.
    private static final Duration FAILURE_TTL = Duration.ofSeconds(3);

    // A server that hangs may grant an attempt when it goes on: its lock is given back within ten seconds of trying. A lock is some
    // hundred bytes here; beyond the bound the lease ends it.
    private static final int MAX_PENDING_RELEASES = 10_000;
    private static final int MAX_RELEASE_RETRIES = 20;
    private static final Duration RELEASE_RETRY_DELAY = Duration.ofMillis(500);
    // Of what was sent to a server that hangs for longer the reply is no longer awaited.
    private static final Duration LOCK_REPLY_TIMEOUT = Duration.ofSeconds(10);

    private final RedisConnections connections;
    private final RedisKeys redisKeys;
    private final RedisCircuitBreaker circuitBreaker;
    private final ValueCodec<V> codec;
    private final String replicaId;
    private final Duration pollInterval;
    private final Duration registrationTtl;
    private final LongSupplier purgePosition;
    private final Supplier<Mono<Void>> syncPurges;
    private final ByteBudget encodingBudget;
    private final NotificationChannel notificationChannel = new NotificationChannel();
    private final AtomicLong lockOwnerIds = new AtomicLong();
    private final AtomicInteger pendingReleases = new AtomicInteger();

    /**
     * To be made before the connections are started.
     *
     * @param purgePosition the last purge position this replica knows of
     * @param syncPurges    reads the log of purges to its end, and begins it anew if it is lost
     * @param encoding      for the bytes of the entries that are being written
     * @param replicaId     unique for each process of the fleet; its inbox is named by it
     */
    public RedisTier(RedisConnections connections, RedisCircuitBreaker gate, ValueCodec<V> codec,
            CoalescerLimits timing,
            LongSupplier purgePosition, Supplier<Mono<Void>> syncPurges, String replicaId, ByteBudget encoding) {
        this.encodingBudget = encoding;
        this.connections = connections;
        this.redisKeys = connections.keys();
        this.circuitBreaker = gate;
        this.codec = codec;
        this.purgePosition = purgePosition;
        this.syncPurges = syncPurges;
        this.replicaId = replicaId;
        this.pollInterval = timing.pollInterval();
        // Outlives the longest sleep of a follower, which registers again each time it looks.
        this.registrationTtl = timing.leaseTtl().plus(timing.pollInterval()).plus(timing.pollJitter());
        connections.subscribe(redisKeys.notificationChannel(replicaId), notificationChannel::onMessage);
    }

    @Override
    public Mono<Versioned<V>> find(TierKey key) {
        return readEntry(redisKeys.entryKeys(key)).mapNotNull(bytes -> decodeEntry(bytes).orElse(null));
    }

    /** Most of it is found unchanged: then only its version is read. */
    @Override
    public Mono<Versioned<V>> find(TierKey key, Versioned<V> known) {
        String entry = redisKeys.entryKeys(key).entry();
        int length = VersionedBytes.headerLength(known.version());
        return runBodyCommand(entry, redis -> Mono.fromCompletionStage(() -> redis.getrange(entry, 0, length - 1L)))
                .filter(head -> VersionedBytes.isHeaderOf(head, known.version()))
                .map(same -> known)
                .switchIfEmpty(Mono.defer(() -> find(key)));
    }

    @Override
    public Mono<LeaseAttempt<TierKey>> tryLead(TierKey key, Duration ttl) {
        return Mono.defer(() -> {
            String lock = redisKeys.entryKeys(key).lock();
            long flight = lockOwnerIds.incrementAndGet();
            // A connection that breaks is replaced, and with it what Redisson calls itself: each try may have a name of its own.
            var tries = new ConcurrentLinkedQueue<LockRequest>();
            Mono<String> winner = circuitBreaker.guard(lock, Mono.defer(() -> {
                var one = new LockRequest(lockHolder(flight), tryLock(lock, ttl, flight));
                tries.add(one);
                // Not cancelled with its caller: it may be granted, and only its reply says so.
                return Mono.fromFuture(one.granted(), true).map(won -> won ? one.holder() : "");
            }));
            // The time is only of interest to a loser: the winner neither waits for it nor fails with it.
            CompletableFuture<Long> now = runControlCommand(lock,
                    redis -> RedisScripts.SERVER_TIME.<Long>run(redis, ScriptOutputType.INTEGER, List.of(lock)))
                    .toFuture();
            return winner.flatMap(holder -> holder.isEmpty()
                    ? Mono.fromFuture(now).<LeaseAttempt<TierKey>>map(LeaseAttempt.HeldByOther::new)
                    : Mono.<LeaseAttempt<TierKey>>just(new LeaseAttempt.Acquired<>(new Lease<>(key, holder))))
                    .doFinally(end -> now.cancel(false))
                    .doOnNext(attempt -> releaseUnusedLocks(key, tries,
                            attempt instanceof LeaseAttempt.Acquired<TierKey>(Lease<TierKey> lease)
                                    ? lease.holder()
                                    : ""))
                    .doOnCancel(() -> releaseUnusedLocks(key, tries, ""))
                    .doOnError(failed -> releaseUnusedLocks(key, tries, ""));
        });
    }

    /** One sending of an attempt, and whether it was granted. */
    private record LockRequest(String holder, CompletableFuture<Boolean> granted) {

        boolean isDenied() {
            return granted.isDone() && !granted.isCompletedExceptionally() && !granted.join();
        }
    }

    /**
     * Every try but the one that is kept may have been granted, or may still be. Its lock is given back as soon as that is known, and
     * Redis can be reached: earlier the release, on another connection, would overtake it.
     */
    private void releaseUnusedLocks(TierKey key, Collection<LockRequest> tries, String kept) {
        for (LockRequest one : tries) {
            if (one.holder().equals(kept) || one.isDenied()) {
                continue;
            }
            // Beyond the bound a lock lapses by itself, after its lease.
            if (pendingReleases.incrementAndGet() > MAX_PENDING_RELEASES) {
                pendingReleases.decrementAndGet();
                return;
            }
            Mono.fromFuture(one.granted(), true)
                    .timeout(LOCK_REPLY_TIMEOUT)
                    .onErrorReturn(true)
                    .filter(won -> won)
                    .flatMap(won -> release(new Lease<>(key, one.holder()), FillNotification.STATE_CHANGED)
                            .retryWhen(Retry.fixedDelay(MAX_RELEASE_RETRIES, RELEASE_RETRY_DELAY)))
                    .onErrorComplete()
                    .doFinally(end -> pendingReleases.decrementAndGet())
                    .subscribe();
        }
    }

    @Override
    public Mono<LeaderSnapshot<V>> snapshot(Lease<TierKey> lease) {
        EntryKeys names = redisKeys.entryKeys(lease.key());
        Mono<Optional<VersionedBytes>> there = readEntry(names).map(VersionedBytes::decode)
                .defaultIfEmpty(Optional.empty());
        Mono<Boolean> held = runControlCommand(names.lock(),
                redis -> Mono.fromCompletionStage(() -> redis.hexists(names.lock(), lease.holder())));
        return Mono.zip(there, loadPurgePosition(), held).map(all -> {
            if (!all.getT3()) {
                connections.reportSuspicion("a lock is not where the entries are");
            }
            return new LeaderSnapshot<>(all.getT1().flatMap(this::decodeEntry),
                    all.getT1().map(VersionedBytes::version), all.getT2(),
                    all.getT3());
        });
    }

    /**
     * The fleet's purge position. Missing, or below what this replica knows, it was lost: then the log is put in order first, or
     * whatever is fetched now would be taken to be purged. Without the log's server what this replica knows is the position: an
     * older one is safe.
     */
    private Mono<Long> loadPurgePosition() {
        return readPurgePosition()
                .filter(position -> position >= Math.max(1, purgePosition.getAsLong()))
                .switchIfEmpty(Mono.defer(() -> syncPurges.get().then(readPurgePosition())))
                .onErrorResume(TierUnavailableException.class, away -> circuitBreaker.isAvailable()
                        ? Mono.error(away)
                        : Mono.fromSupplier(purgePosition::getAsLong));
    }

    private Mono<Long> readPurgePosition() {
        return runControlCommand(redisKeys.purgePosition(),
                redis -> Mono.fromCompletionStage(() -> redis.get(redisKeys.purgePosition())))
                .map(bytes -> Long.parseLong(LuaScript.utf8Text(bytes)))
                .defaultIfEmpty(0L);
    }

    @Override
    public Mono<Boolean> renew(Lease<TierKey> lease, Duration ttl) {
        List<String> keys = List.of(redisKeys.entryKeys(lease.key()).lock());
        return circuitBreaker.guard(keys.getFirst(),
                Mono.defer(
                        () -> RedisScripts.RENEW.<Long>run(connections.leaseCommands(), ScriptOutputType.INTEGER, keys,
                                utf8Bytes(lease.holder()), utf8Bytes(positiveMillis(ttl)))))
                .map(held -> held == 1);
    }

    @Override
    public Mono<PublishResult> publish(Lease<TierKey> lease, Optional<String> stoodOn, List<Write<TierKey, V>> writes) {
        EntryKeys names = redisKeys.entryKeys(lease.key());
        Stream<String> own = Stream.of(names.entry(), names.lock(), names.waiters(), names.failure());
        List<String> keys = Stream.concat(own, writes.stream().map(write -> redisKeys.entryKeys(write.key()).entry()))
                .toList();
        long size = writes.stream().mapToLong(write -> codec.estimateSize(write.value())).sum();
        // Many at once take their turns: each has its bytes twice, here and in the connection's buffer.
        return Mono.usingWhen(encodingBudget.reserve(size),
                permit -> Mono.fromSupplier(() -> publishArguments(lease, stoodOn, writes))
                        .flatMap(arguments -> runBodyCommand(names.entry(),
                                redis -> RedisScripts.PUBLISH.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                                        arguments))),
                permit -> Mono.fromRunnable(permit::close))
                .map(RedisTier::toPublishResult)
                .doOnNext(published -> {
                    if (published == PublishResult.FENCED) {
                        connections.reportSuspicion("a lock was lost");
                    }
                });
    }

    @Override
    public Mono<Void> release(Lease<TierKey> lease, FillNotification ring) {
        EntryKeys names = redisKeys.entryKeys(lease.key());
        List<String> keys = List.of(names.entry(), names.lock(), names.waiters());
        return runControlCommand(names.lock(),
                redis -> RedisScripts.RELEASE.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                        utf8Bytes(lease.holder()),
                        utf8Bytes(NotificationChannel.wireCode(ring)),
                        utf8Bytes(redisKeys.notificationChannelPrefix())))
                .then();
    }

    @Override
    public Mono<Void> publishFailure(Lease<TierKey> lease, V failure) {
        EntryKeys names = redisKeys.entryKeys(lease.key());
        List<String> keys = List.of(names.entry(), names.lock(), names.waiters(), names.failure());
        return Mono.fromSupplier(() -> codec.encode(failure))
                .flatMap(bytes -> runControlCommand(names.lock(),
                        redis -> RedisScripts.PUBLISH_FAILURE.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                                utf8Bytes(lease.holder()), bytes, utf8Bytes(positiveMillis(FAILURE_TTL)),
                                utf8Bytes(redisKeys.notificationChannelPrefix()))))
                .then();
    }

    @Override
    public Mono<FollowResult<V>> follow(TierKey key, Optional<String> version, long since) {
        EntryKeys names = redisKeys.entryKeys(key);
        List<String> keys = List.of(names.entry(), names.lock(), names.waiters(), names.failure());
        return runControlCommand(names.lock(),
                redis -> RedisScripts.FOLLOW.<List<Object>>run(redis, ScriptOutputType.MULTI, keys,
                        utf8Bytes(version.orElse("")), utf8Bytes(since), utf8Bytes(replicaId),
                        utf8Bytes(positiveMillis(registrationTtl))))
                .flatMap(answer -> toFollowResult(key, since, answer));
    }

    @Override
    public FillSubscription subscribe(TierKey key) {
        return notificationChannel.subscribe(redisKeys.entryKeys(key).entry());
    }

    private Mono<FollowResult<V>> toFollowResult(TierKey key, long since, List<Object> answer) {
        return switch (LuaScript.utf8Text(answer.getFirst())) {
            case "C" -> readEntry(redisKeys.entryKeys(key)).flatMap(entry -> changedResult(key, since, entry))
                    // It has lapsed or was evicted in between.
                    .switchIfEmpty(Mono.just(new FollowResult.Unlocked<>()));
            // A failure this process cannot read: an attempt of its own will tell it what is wrong.
            case "F" -> Mono.just(codec.decode(ByteBuffer.wrap((byte[]) answer.getLast()))
                    .<FollowResult<V>>map(FollowResult.LeaderFailed::new)
                    .orElseGet(FollowResult.Unlocked::new));
            case "N" -> Mono.just(new FollowResult.Unlocked<>());
            case "W" -> Mono.just(new FollowResult.Locked<>(remainingTtl((long) answer.getLast())));
            default -> Mono.error(new IllegalStateException("the script answered " + answer));
        };
    }

    /** What this process cannot read is absent, and not a change: it follows as if it had seen it before. */
    private Mono<FollowResult<V>> changedResult(TierKey key, long since, byte[] entry) {
        Optional<Versioned<V>> seen = decodeEntry(entry);
        if (seen.isPresent()) {
            return Mono.just(new FollowResult.Changed<>(seen.get()));
        }
        Optional<String> unreadable = VersionedBytes.decode(entry).map(VersionedBytes::version);
        return unreadable.isPresent()
                ? follow(key, unreadable, since)
                : Mono.just(new FollowResult.Locked<>(pollInterval));
    }

    private Duration remainingTtl(long millis) {
        // -1: a lock without an end is none of ours.
        return millis < 0 ? pollInterval : Duration.ofMillis(Math.max(1, millis));
    }

    /** Never waits and never without a lease: both would make Redisson keep state for the lock. */
    private CompletableFuture<Boolean> tryLock(String name, Duration ttl, long flight) {
        return connections.redisson()
                .getLock(name)
                .tryLockAsync(0, positiveMillis(ttl), TimeUnit.MILLISECONDS, flight)
                .toCompletableFuture();
    }

    /** As Redisson writes it into the lock. */
    private String lockHolder(long flight) {
        return connections.redisson().getId() + ":" + flight;
    }

    private byte[][] publishArguments(Lease<TierKey> lease, Optional<String> stoodOn, List<Write<TierKey, V>> writes) {
        var arguments = new ArrayList<byte[]>(List.of(utf8Bytes(lease.holder()), utf8Bytes(stoodOn.orElse(""))));
        for (Write<TierKey, V> write : writes) {
            arguments.add(utf8Bytes(positiveMillis(write.ttl())));
            arguments.add(codec.encode(VersionedBytes.header(lease.holder()), write.value()));
        }
        arguments.add(utf8Bytes(redisKeys.notificationChannelPrefix()));
        return arguments.toArray(byte[][]::new);
    }

    private static PublishResult toPublishResult(long answer) {
        return switch ((int) answer) {
            case 0 -> PublishResult.FENCED;
            case 1 -> PublishResult.STORED;
            default -> PublishResult.OUT_OF_MEMORY;
        };
    }

    private Mono<byte[]> readEntry(EntryKeys names) {
        return runBodyCommand(names.entry(), redis -> Mono.fromCompletionStage(() -> redis.get(names.entry())));
    }

    private Optional<Versioned<V>> decodeEntry(byte[] entry) {
        return VersionedBytes.decode(entry).flatMap(this::decodeEntry);
    }

    private Optional<Versioned<V>> decodeEntry(VersionedBytes envelope) {
        return codec.decode(envelope.payload()).map(value -> new Versioned<>(value, envelope.version()));
    }

    private <T> Mono<T> runControlCommand(String key,
            Function<RedisClusterAsyncCommands<String, byte[]>, Mono<T>> command) {
        return circuitBreaker.guard(key, Mono.defer(() -> command.apply(connections.controlCommands())));
    }

    private <T> Mono<T> runBodyCommand(String key,
            Function<RedisClusterAsyncCommands<String, byte[]>, Mono<T>> command) {
        return circuitBreaker.guard(key, Mono.defer(() -> command.apply(connections.bodyCommands())));
    }

    /** Redis refuses a life of nothing. */
    private static long positiveMillis(Duration duration) {
        return Math.max(1, duration.toMillis());
    }
}
