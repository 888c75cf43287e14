package dev.corral.edge;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;

/**
 * Where a resource lives in the tiers.
 *
 * @param text     the whole canonical cache key; stored with every entry and compared on every read, for a hash may collide
 * @param resource the key of the resource itself
 * @param name     what purges it, however its URI is spelt and whatever else its key has
 */
record Address(String text, Key resource, String name) {

    /**
     * The address of a canonical cache key.
     *
     * @param uri  the key's part that all spellings of the URI have in common
     * @param more what else the key has, each part behind a line feed; empty when nothing
     */
    static Address of(String uri, String more) {
        String common = hash(uri);
        Key resource = Key.of(more.isEmpty() ? common : hash(uri + more));
        return new Address(uri + more, resource, "k:" + common);
    }

    /** Where the variant of these selecting fields lives; the resource itself when nothing selects. */
    Key variant(Fields selecting) {
        return selecting.lines().isEmpty() ? resource : resource.lane("v:" + hash(Variant.text(selecting)));
    }

    /** Whether the entry is of this resource, and no purge has named it since its fetch began. */
    boolean holds(Entry entry, Purges purges) {
        // The first comparison is all that a hit pays: names are made only when there has been a purge since.
        return entry.key().equals(text)
                && (entry.position() >= purges.position() || !purges.purged(names(entry), entry.position()));
    }

    private List<String> names(Entry entry) {
        var names = new ArrayList<String>();
        names.add(name);
        switch (entry) {
            case Stored stored -> tags(stored, names);
            case Ailing ailing -> tags(ailing.stored(), names);
            case Varies pointer -> {
                // Leads to what has tags.
            }
            case HitForMiss marker -> {
                // Has none: its answer was for one request.
            }
            case Failure failure -> {
                // Has none.
            }
        }
        return names;
    }

    private static void tags(Stored stored, List<String> names) {
        for (String tag : stored.tags()) {
            names.add("t:" + tag);
        }
    }

    /** 128 bits of SHA-256: short, and nobody finds two keys with one hash. */
    private static String hash(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return Base64.getUrlEncoder().withoutPadding().encodeToString(Arrays.copyOf(digest, 16));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every JDK has SHA-256", impossible);
        }
    }
}
