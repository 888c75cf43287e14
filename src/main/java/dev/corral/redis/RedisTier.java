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
 * The shared tier in Redis. Thread-safe; results are emitted on the event loops of the connections.
 *
 * <p>The lock of a key is the lease. Redisson takes it, in one attempt without waiting, with an owner number that is unique for
 * each attempt. The lock is released only by the scripts in {@link RedisScripts}, which do nothing unless the lock still has
 * this lease's holder. Redisson's own unlock is not used: it would leave a key and send a message for each lock.
 *
 * <p>A value with a format that this process does not know is absent for it, as may happen during a rolling upgrade.
 */
public final class RedisTier<V> implements SharedTier<TierKey, V> {

    // A follower that waited when the fetch failed reads the failure within a poll interval and a round trip.
    private static final Duration FAILURE_TTL = Duration.ofSeconds(3);

    // A server that hangs may grant a lock attempt when it resumes: that lock is released, with retries for ten seconds. A
    // pending release takes some hundred bytes; beyond the limit the lock ends with its lease.
    private static final int MAX_PENDING_RELEASES = 10_000;
    private static final int MAX_RELEASE_RETRIES = 20;
    private static final Duration RELEASE_RETRY_DELAY = Duration.ofMillis(500);
    // The replies of a server that hangs for longer are no longer awaited.
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
     * Must be created before the connections are started, because it subscribes to a channel.
     *
     * @param limits         lease and poll times
     * @param purgePosition  the last purge position that this replica knows
     * @param syncPurges     reads the purge log to its end, and recreates it if it is lost
     * @param encodingBudget limits the memory for entries that are being written
     * @param replicaId      unique for each process of the fleet; part of the name of its notification channel
     */
    public RedisTier(RedisConnections connections, RedisCircuitBreaker circuitBreaker, ValueCodec<V> codec,
            CoalescerLimits limits, LongSupplier purgePosition, Supplier<Mono<Void>> syncPurges, String replicaId,
            ByteBudget encodingBudget) {
        this.encodingBudget = encodingBudget;
        this.connections = connections;
        this.redisKeys = connections.keys();
        this.circuitBreaker = circuitBreaker;
        this.codec = codec;
        this.purgePosition = purgePosition;
        this.syncPurges = syncPurges;
        this.replicaId = replicaId;
        this.pollInterval = limits.pollInterval();
        // Longer than the maximum wait of a follower between two reads; each read registers again.
        this.registrationTtl = limits.leaseTtl().plus(limits.pollInterval()).plus(limits.pollJitter());
        connections.subscribe(redisKeys.notificationChannel(replicaId), notificationChannel::onMessage);
    }

    @Override
    public Mono<Versioned<V>> find(TierKey key) {
        return readEntry(redisKeys.entryKeys(key)).mapNotNull(bytes -> decodeEntry(bytes).orElse(null));
    }

    /** Most values are unchanged: then only the version is read. */
    @Override
    public Mono<Versioned<V>> find(TierKey key, Versioned<V> known) {
        String entry = redisKeys.entryKeys(key).entry();
        int length = VersionedBytes.headerLength(known.version());
        return runBodyCommand(entry, redis -> Mono.fromCompletionStage(() -> redis.getrange(entry, 0, length - 1L)))
                .filter(head -> VersionedBytes.isHeaderOf(head, known.version()))
                .map(unchanged -> known)
                .switchIfEmpty(Mono.defer(() -> find(key)));
    }

    @Override
    public Mono<LeaseAttempt<TierKey>> tryLead(TierKey key, Duration ttl) {
        return Mono.defer(() -> {
            String lock = redisKeys.entryKeys(key).lock();
            long ownerId = lockOwnerIds.incrementAndGet();
            // When connections are replaced, Redisson gets a new id: each attempt may have a different holder.
            var requests = new ConcurrentLinkedQueue<LockRequest>();
            Mono<String> grantedHolder = circuitBreaker.guard(lock, Mono.defer(() -> {
                var request = new LockRequest(lockHolder(ownerId), tryLock(lock, ttl, ownerId));
                requests.add(request);
                // Not cancelled with its caller: the lock may be granted, and only the reply shows it.
                return Mono.fromFuture(request.granted(), true).map(granted -> granted ? request.holder() : "");
            }));
            // Only a follower needs the time: a leader neither waits for it nor fails with it.
            CompletableFuture<Long> serverTime = runControlCommand(lock,
                    redis -> RedisScripts.SERVER_TIME.<Long>run(redis, ScriptOutputType.INTEGER, List.of(lock)))
                    .toFuture();
            return grantedHolder.flatMap(holder -> holder.isEmpty()
                    ? Mono.fromFuture(serverTime).<LeaseAttempt<TierKey>>map(LeaseAttempt.HeldByOther::new)
                    : Mono.<LeaseAttempt<TierKey>>just(new LeaseAttempt.Acquired<>(new Lease<>(key, holder))))
                    .doFinally(end -> serverTime.cancel(false))
                    .doOnNext(attempt -> releaseUnusedLocks(key, requests,
                            attempt instanceof LeaseAttempt.Acquired<TierKey>(Lease<TierKey> lease)
                                    ? lease.holder()
                                    : ""))
                    .doOnCancel(() -> releaseUnusedLocks(key, requests, ""))
                    .doOnError(e -> releaseUnusedLocks(key, requests, ""));
        });
    }

    /** One lock request of an attempt, and whether it was granted. */
    private record LockRequest(String holder, CompletableFuture<Boolean> granted) {

        boolean isDenied() {
            return granted.isDone() && !granted.isCompletedExceptionally() && !granted.join();
        }
    }

    /**
     * Releases the locks of all requests except the one that is used: each may have been granted, or may still be. A lock is
     * released when its reply has arrived and Redis is available: an earlier release, on another connection, could overtake the
     * request.
     */
    private void releaseUnusedLocks(TierKey key, Collection<LockRequest> requests, String usedHolder) {
        for (LockRequest request : requests) {
            if (request.holder().equals(usedHolder) || request.isDenied()) {
                continue;
            }
            // Beyond the limit a lock expires by itself, after its lease TTL.
            if (pendingReleases.incrementAndGet() > MAX_PENDING_RELEASES) {
                pendingReleases.decrementAndGet();
                return;
            }
            Mono.fromFuture(request.granted(), true)
                    .timeout(LOCK_REPLY_TIMEOUT)
                    .onErrorReturn(true)
                    .filter(granted -> granted)
                    .flatMap(granted -> release(new Lease<>(key, request.holder()), FillNotification.STATE_CHANGED)
                            .retryWhen(Retry.fixedDelay(MAX_RELEASE_RETRIES, RELEASE_RETRY_DELAY)))
                    .onErrorComplete()
                    .doFinally(end -> pendingReleases.decrementAndGet())
                    .subscribe();
        }
    }

    @Override
    public Mono<LeaderSnapshot<V>> snapshot(Lease<TierKey> lease) {
        EntryKeys entryKeys = redisKeys.entryKeys(lease.key());
        Mono<Optional<VersionedBytes>> current = readEntry(entryKeys).map(VersionedBytes::decode)
                .defaultIfEmpty(Optional.empty());
        Mono<Boolean> held = runControlCommand(entryKeys.lock(),
                redis -> Mono.fromCompletionStage(() -> redis.hexists(entryKeys.lock(), lease.holder())));
        return Mono.zip(current, loadPurgePosition(), held).map(results -> {
            if (!results.getT3()) {
                connections.reportSuspicion("a lock is on a different server than the entries");
            }
            return new LeaderSnapshot<>(results.getT1().flatMap(this::decodeEntry),
                    results.getT1().map(VersionedBytes::version), results.getT2(),
                    results.getT3());
        });
    }

    /**
     * The fleet's purge position. If it is missing, or below the position that this replica knows, it was lost: then the purge
     * log is synced and repaired first, or every value fetched now would count as purged. While the server of the log is
     * unavailable, the position that this replica knows is used: an older position is safe.
     */
    private Mono<Long> loadPurgePosition() {
        return readPurgePosition()
                .filter(position -> position >= Math.max(1, purgePosition.getAsLong()))
                .switchIfEmpty(Mono.defer(() -> syncPurges.get().then(readPurgePosition())))
                .onErrorResume(TierUnavailableException.class, e -> circuitBreaker.isAvailable()
                        ? Mono.error(e)
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
    public Mono<PublishResult> publish(Lease<TierKey> lease, Optional<String> expectedVersion,
            List<Write<TierKey, V>> writes) {
        EntryKeys entryKeys = redisKeys.entryKeys(lease.key());
        Stream<String> controlKeys = Stream.of(entryKeys.entry(), entryKeys.lock(), entryKeys.waiters(),
                entryKeys.failure());
        List<String> keys = Stream
                .concat(controlKeys, writes.stream().map(write -> redisKeys.entryKeys(write.key()).entry()))
                .toList();
        long size = writes.stream().mapToLong(write -> codec.estimateSize(write.value())).sum();
        // Concurrent publishes wait for their share of the budget: each has its bytes in memory twice, here and in the
        // connection's buffer.
        return Mono.usingWhen(encodingBudget.reserve(size),
                permit -> Mono.fromSupplier(() -> publishArguments(lease, expectedVersion, writes))
                        .flatMap(arguments -> runBodyCommand(entryKeys.entry(),
                                redis -> RedisScripts.PUBLISH.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                                        arguments))),
                permit -> Mono.fromRunnable(permit::close))
                .map(RedisTier::toPublishResult)
                .doOnNext(result -> {
                    if (result == PublishResult.FENCED) {
                        connections.reportSuspicion("a lock was lost");
                    }
                });
    }

    @Override
    public Mono<Void> release(Lease<TierKey> lease, FillNotification notification) {
        EntryKeys entryKeys = redisKeys.entryKeys(lease.key());
        List<String> keys = List.of(entryKeys.entry(), entryKeys.lock(), entryKeys.waiters());
        return runControlCommand(entryKeys.lock(),
                redis -> RedisScripts.RELEASE.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                        utf8Bytes(lease.holder()),
                        utf8Bytes(NotificationChannel.wireCode(notification)),
                        utf8Bytes(redisKeys.notificationChannelPrefix())))
                .then();
    }

    @Override
    public Mono<Void> publishFailure(Lease<TierKey> lease, V failure) {
        EntryKeys entryKeys = redisKeys.entryKeys(lease.key());
        List<String> keys = List.of(entryKeys.entry(), entryKeys.lock(), entryKeys.waiters(), entryKeys.failure());
        return Mono.fromSupplier(() -> codec.encode(failure))
                .flatMap(bytes -> runControlCommand(entryKeys.lock(),
                        redis -> RedisScripts.PUBLISH_FAILURE.<Long>run(redis, ScriptOutputType.INTEGER, keys,
                                utf8Bytes(lease.holder()), bytes, utf8Bytes(positiveMillis(FAILURE_TTL)),
                                utf8Bytes(redisKeys.notificationChannelPrefix()))))
                .then();
    }

    @Override
    public Mono<FollowResult<V>> follow(TierKey key, Optional<String> version, long observedAt) {
        EntryKeys entryKeys = redisKeys.entryKeys(key);
        List<String> keys = List.of(entryKeys.entry(), entryKeys.lock(), entryKeys.waiters(), entryKeys.failure());
        return runControlCommand(entryKeys.lock(),
                redis -> RedisScripts.FOLLOW.<List<Object>>run(redis, ScriptOutputType.MULTI, keys,
                        utf8Bytes(version.orElse("")), utf8Bytes(observedAt), utf8Bytes(replicaId),
                        utf8Bytes(positiveMillis(registrationTtl))))
                .flatMap(reply -> toFollowResult(key, observedAt, reply));
    }

    @Override
    public FillSubscription subscribe(TierKey key) {
        return notificationChannel.subscribe(redisKeys.entryKeys(key).entry());
    }

    private Mono<FollowResult<V>> toFollowResult(TierKey key, long observedAt, List<Object> reply) {
        return switch (LuaScript.utf8Text(reply.getFirst())) {
            case "C" -> readEntry(redisKeys.entryKeys(key)).flatMap(entry -> changedResult(key, observedAt, entry))
                    // The entry has expired or was evicted in between.
                    .switchIfEmpty(Mono.just(new FollowResult.Unlocked<>()));
            // If this process cannot decode the failure, it tries to lead and gets a failure of its own.
            case "F" -> Mono.just(codec.decode(ByteBuffer.wrap((byte[]) reply.getLast()))
                    .<FollowResult<V>>map(FollowResult.LeaderFailed::new)
                    .orElseGet(FollowResult.Unlocked::new));
            case "N" -> Mono.just(new FollowResult.Unlocked<>());
            case "W" -> Mono.just(new FollowResult.Locked<>(remainingTtl((long) reply.getLast())));
            default -> Mono.error(new IllegalStateException("unexpected reply of the script FOLLOW: " + reply));
        };
    }

    /**
     * An entry that this process cannot decode is absent for it, and not a change: it follows with the version of that entry.
     */
    private Mono<FollowResult<V>> changedResult(TierKey key, long observedAt, byte[] entry) {
        Optional<Versioned<V>> value = decodeEntry(entry);
        if (value.isPresent()) {
            return Mono.just(new FollowResult.Changed<>(value.get()));
        }
        Optional<String> unreadableVersion = VersionedBytes.decode(entry).map(VersionedBytes::version);
        return unreadableVersion.isPresent()
                ? follow(key, unreadableVersion, observedAt)
                : Mono.just(new FollowResult.Locked<>(pollInterval));
    }

    private Duration remainingTtl(long millis) {
        // -1: the lock has no TTL, so it was not taken by Corral.
        return millis < 0 ? pollInterval : Duration.ofMillis(Math.max(1, millis));
    }

    /** Never waits, and always sets a TTL: otherwise Redisson would keep state for the lock. */
    private CompletableFuture<Boolean> tryLock(String name, Duration ttl, long ownerId) {
        return connections.redisson()
                .getLock(name)
                .tryLockAsync(0, positiveMillis(ttl), TimeUnit.MILLISECONDS, ownerId)
                .toCompletableFuture();
    }

    /** The holder in the format that Redisson writes into the lock. */
    private String lockHolder(long ownerId) {
        return connections.redisson().getId() + ":" + ownerId;
    }

    private byte[][] publishArguments(Lease<TierKey> lease, Optional<String> expectedVersion,
            List<Write<TierKey, V>> writes) {
        var arguments = new ArrayList<byte[]>(
                List.of(utf8Bytes(lease.holder()), utf8Bytes(expectedVersion.orElse(""))));
        for (Write<TierKey, V> write : writes) {
            arguments.add(utf8Bytes(positiveMillis(write.ttl())));
            arguments.add(codec.encode(VersionedBytes.header(lease.holder()), write.value()));
        }
        arguments.add(utf8Bytes(redisKeys.notificationChannelPrefix()));
        return arguments.toArray(byte[][]::new);
    }

    private static PublishResult toPublishResult(long reply) {
        return switch ((int) reply) {
            case 0 -> PublishResult.FENCED;
            case 1 -> PublishResult.STORED;
            default -> PublishResult.OUT_OF_MEMORY;
        };
    }

    private Mono<byte[]> readEntry(EntryKeys entryKeys) {
        return runBodyCommand(entryKeys.entry(), redis -> Mono.fromCompletionStage(() -> redis.get(entryKeys.entry())));
    }

    private Optional<Versioned<V>> decodeEntry(byte[] entry) {
        return VersionedBytes.decode(entry).flatMap(this::decodeEntry);
    }

    private Optional<Versioned<V>> decodeEntry(VersionedBytes bytes) {
        return codec.decode(bytes.payload()).map(value -> new Versioned<>(value, bytes.version()));
    }

    private <T> Mono<T> runControlCommand(String key,
            Function<RedisClusterAsyncCommands<String, byte[]>, Mono<T>> command) {
        return circuitBreaker.guard(key, Mono.defer(() -> command.apply(connections.controlCommands())));
    }

    private <T> Mono<T> runBodyCommand(String key,
            Function<RedisClusterAsyncCommands<String, byte[]>, Mono<T>> command) {
        return circuitBreaker.guard(key, Mono.defer(() -> command.apply(connections.bodyCommands())));
    }

    /** The duration in milliseconds, at least 1: Redis rejects a TTL of 0. */
    private static long positiveMillis(Duration duration) {
        return Math.max(1, duration.toMillis());
    }
}
