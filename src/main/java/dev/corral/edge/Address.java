package dev.corral.edge;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.coalesce.Purges.Verdict;
import dev.corral.http.Ailing;
import dev.corral.http.Entry;
import dev.corral.http.Failure;
import dev.corral.http.Fields;
import dev.corral.http.HitForMiss;
import dev.corral.http.Stored;
import dev.corral.http.Variant;
import dev.corral.http.Varies;
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
 * @param text     the whole canonical cache key; stored with every entry and compared on every read, for a hash may collide
 * @param resource the key of the resource itself
 * @param place    what purges name it by
 */
record Address(String text, Key resource, Place place) {

    /**
     * The address of a canonical cache key.
     *
     * @param more what else the key has besides its place, each part behind a line feed; empty when nothing
     */
    static Address of(Place place, String more) {
        Key resource = Key.of(more.isEmpty() ? place.hash() : hash(place.uri() + more));
        return new Address(place.uri() + more, resource, place);
    }

    /** Where the variant of these selecting fields lives; the resource itself when nothing selects. */
    Key variant(Fields selecting) {
        return selecting.lines().isEmpty() ? resource : resource.lane("v:" + hash(Variant.text(selecting)));
    }

    /**
     * The entry, if it is of this resource and no purge since its fetch began has removed it; after a soft purge as stale as that
     * has made it.
     */
    Optional<Entry> valid(Entry entry, Purges purges, Instant now) {
        if (!entry.key().equals(text)) {
            return Optional.empty();
        }
        // This comparison is all that a hit pays: names are made only when there has been a purge since.
        if (entry.position() >= purges.position()) {
            return Optional.of(entry);
        }
        return switch (purges.verdict(names(entry), entry.position())) {
            case Verdict.Valid valid -> Optional.of(entry);
            case Verdict.Stale(long position) -> stale(entry, earlier(Purges.time(position), now));
            case Verdict.Gone gone -> Optional.empty();
        };
    }

    private static Optional<Entry> stale(Entry entry, Instant since) {
        return switch (entry) {
            case Stored stored -> Optional.of(stored.with(stored.terms().staleFrom(since)));
            // Stale already.
            case Ailing ailing -> Optional.of(ailing);
            // Leads to what is judged by itself.
            case Varies pointer -> Optional.of(pointer);
            // What it remembers is to be found out again.
            case HitForMiss marker -> Optional.empty();
            case Failure failure -> Optional.of(failure);
        };
    }

    /** A fleet whose clock has gone back has positions from the future. */
    private static Instant earlier(Instant one, Instant other) {
        return one.isBefore(other) ? one : other;
    }

    /** All names the entry can be purged by. */
    List<String> names(Entry entry) {
        return switch (entry) {
            case Stored stored -> place.names(stored.tags());
            case Ailing ailing -> place.names(ailing.stored().tags());
            // What follows has no tags: it leads to what has, or is of an answer for one request.
            case Varies pointer -> place.names(List.of());
            case HitForMiss marker -> place.names(List.of());
            case Failure failure -> place.names(List.of());
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
