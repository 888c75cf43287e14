package dev.corral.coalesce;

/**
 * A name in the shared tier. All keys of one resource live together, so that one step can touch them all.
 *
 * @param resource the resource: a hash of its canonical cache key, so that names are short and of one length
 * @param subkey   what distinguishes it within the resource, such as a variant; empty for the resource itself
 */
public record TierKey(String resource, String subkey) {

    /** The key of the resource itself. */
    public static TierKey of(String resource) {
        return new TierKey(resource, "");
    }

    /** Another key of the same resource. */
    public TierKey withSubkey(String name) {
        return new TierKey(resource, name);
    }

    /** As one text, for people and URLs: the resource, and behind a colon the lane. */
    public String text() {
        return subkey.isEmpty() ? resource : resource + ":" + subkey;
    }

    /** The key of that {@link #text}. */
    public static TierKey parse(String text) {
        int colon = text.indexOf(':');
        return colon < 0 ? of(text) : new TierKey(text.substring(0, colon), text.substring(colon + 1));
    }
}
