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
 * Where a resource lives in the tiers.
 *
 * @param cacheKey    the whole canonical cache key; stored with every entry and compared on every read, for a hash may collide
 * @param resourceKey the key of the resource itself
 * @param purgeNames  what purges name it by
 */
public record ResourceKeys(String cacheKey, TierKey resourceKey, PurgeNames purgeNames) {

    /**
     * The address of a canonical cache key.
     *
     * @param more what else the key has besides its place, each part behind a line feed; empty when nothing
     */
    static ResourceKeys of(PurgeNames place, String more) {
        TierKey resource = TierKey.of(more.isEmpty() ? place.uriHash() : hash(place.uriAndRoute() + more));
        return new ResourceKeys(place.uriAndRoute() + more, resource, place);
    }

    /** Where the variant of these selecting fields lives; the resource itself when nothing selects. */
    public TierKey variantKey(HeaderFields selecting) {
        return selecting.lines().isEmpty()
                ? resourceKey
                : resourceKey.withSubkey("v:" + hash(Vary.variantText(selecting)));
    }

    /**
     * The entry, if it is of this resource and no purge since its fetch began has removed it; after a soft purge as stale as that
     * has made it.
     */
    public Optional<Entry> validEntry(Entry entry, PurgeRegistry purges, Instant now) {
        if (!entry.cacheKey().equals(cacheKey)) {
            return Optional.empty();
        }
        // This comparison is all that a hit pays: names are made only when there has been a purge since.
        if (entry.purgePosition() >= purges.latestPosition()) {
            return Optional.of(entry);
        }
        return switch (purges.verdict(purgeNamesOf(entry), entry.purgePosition())) {
            case PurgeVerdict.Valid valid -> Optional.of(entry);
            case PurgeVerdict.Stale(long position) -> softPurged(entry, earliest(PurgeRegistry.timeOf(position), now));
            case PurgeVerdict.Removed gone -> Optional.empty();
        };
    }

    private static Optional<Entry> softPurged(Entry entry, Instant since) {
        return switch (entry) {
            case StoredResponse stored -> Optional.of(stored.withFreshness(stored.freshness().staleAsOf(since)));
            // Stale already.
            case StaleOnError ailing -> Optional.of(ailing);
            // Leads to what is judged by itself.
            case VaryMarker pointer -> Optional.of(pointer);
            // What it remembers is to be found out again.
            case HitForMiss marker -> Optional.empty();
            case FailedFill failure -> Optional.of(failure);
        };
    }

    /** A fleet whose clock has gone back has positions from the future. */
    private static Instant earliest(Instant one, Instant other) {
        return one.isBefore(other) ? one : other;
    }

    /** All names the entry can be purged by. */
    public List<String> purgeNamesOf(Entry entry) {
        return switch (entry) {
            case StoredResponse stored -> purgeNames.allNames(stored.tags());
            case StaleOnError ailing -> purgeNames.allNames(ailing.staleResponse().tags());
            // What follows has no tags: it leads to what has, or is of an answer for one request.
            case VaryMarker pointer -> purgeNames.allNames(List.of());
            case HitForMiss marker -> purgeNames.allNames(List.of());
            case FailedFill failure -> purgeNames.allNames(List.of());
        };
    }

    /** 128 bits of SHA-256: short, and nobody finds two keys with one hash. */
    static String hash(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return Base64.getUrlEncoder().withoutPadding().encodeToString(Arrays.copyOf(digest, 16));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every JDK has SHA-256", impossible);
        }
    }
}
