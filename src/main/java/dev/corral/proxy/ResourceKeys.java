package dev.corral.proxy;

import dev.corral.cache.Entry;
import dev.corral.cache.FailedFill;
import dev.corral.cache.HitForMiss;
import dev.corral.cache.StaleOnError;
import dev.corral.cache.StoredResponse;
import dev.corral.cache.Vary;
import dev.corral.cache.VaryMarker;
import dev.corral.coalesce.TierKey;
import dev.corral.http.HeaderFields;
import dev.corral.purge.PurgeRegistry;
import dev.corral.purge.PurgeRegistry.PurgeVerdict;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Optional;

/**
 * The keys of a resource in the cache tiers.
 *
 * @param cacheKey    the whole canonical cache key; stored with every entry and compared on every read, because a hash may collide
 * @param resourceKey the key of the resource itself
 * @param purgeNames  the names by which purges refer to it
 */
public record ResourceKeys(String cacheKey, TierKey resourceKey, PurgeNames purgeNames) {

    /**
     * The keys for a canonical cache key.
     *
     * @param keySuffix the parts of the key beyond URI and route, each behind a line feed; empty if there are none
     */
    static ResourceKeys of(PurgeNames purgeNames, String keySuffix) {
        String cacheKey = purgeNames.uriAndRoute() + keySuffix;
        TierKey resourceKey = TierKey.of(keySuffix.isEmpty() ? purgeNames.uriHash() : hash(cacheKey));
        return new ResourceKeys(cacheKey, resourceKey, purgeNames);
    }

    /** The key of the variant with these selecting fields; the key of the resource if there are none. */
    public TierKey variantKey(HeaderFields selecting) {
        return selecting.lines().isEmpty()
                ? resourceKey
                : resourceKey.withSubkey("v:" + hash(Vary.variantText(selecting)));
    }

    /**
     * The entry, if it belongs to this resource and no purge since the start of its fetch has removed it. After a soft purge, the
     * returned entry is stale since that purge.
     */
    public Optional<Entry> validEntry(Entry entry, PurgeRegistry purges, Instant now) {
        if (!entry.cacheKey().equals(cacheKey)) {
            return Optional.empty();
        }
        // A hit costs only this comparison: the names are built only if there has been a purge since.
        if (entry.purgePosition() >= purges.latestPosition()) {
            return Optional.of(entry);
        }
        return switch (purges.verdict(purgeNamesOf(entry), entry.purgePosition())) {
            case PurgeVerdict.Valid valid -> Optional.of(entry);
            case PurgeVerdict.Stale(long position) -> softPurged(entry, earliest(PurgeRegistry.timeOf(position), now));
            case PurgeVerdict.Removed removed -> Optional.empty();
        };
    }

    private static Optional<Entry> softPurged(Entry entry, Instant since) {
        return switch (entry) {
            case StoredResponse stored -> Optional.of(stored.withFreshness(stored.freshness().staleAsOf(since)));
            // It is already stale.
            case StaleOnError staleOnError -> Optional.of(staleOnError);
            // It points to entries that are checked on their own.
            case VaryMarker varyMarker -> Optional.of(varyMarker);
            // The origin must show again whether its response can be shared.
            case HitForMiss hitForMiss -> Optional.empty();
            case FailedFill failure -> Optional.of(failure);
        };
    }

    /** If the clock of the fleet went backwards, a purge position may lie in the future. */
    private static Instant earliest(Instant first, Instant second) {
        return first.isBefore(second) ? first : second;
    }

    /** All names by which the entry can be purged. */
    public List<String> purgeNamesOf(Entry entry) {
        return switch (entry) {
            case StoredResponse stored -> purgeNames.allNames(stored.tags());
            case StaleOnError staleOnError -> purgeNames.allNames(staleOnError.staleResponse().tags());
            // The following entries have no tags: they point to entries with tags, or concern a response for one request.
            case VaryMarker varyMarker -> purgeNames.allNames(List.of());
            case HitForMiss hitForMiss -> purgeNames.allNames(List.of());
            case FailedFill failure -> purgeNames.allNames(List.of());
        };
    }

    /** 128 bits of SHA-256: short, and collisions are infeasible to find. */
    static String hash(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return Base64.getUrlEncoder().withoutPadding().encodeToString(Arrays.copyOf(digest, 16));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
