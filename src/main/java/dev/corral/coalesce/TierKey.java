package dev.corral.coalesce;

/**
 * A key in the shared tier. All keys of one resource are stored together, so that one atomic step can access all of them.
 *
 * @param resource a hash of the resource's canonical cache key, so that all keys are short and of one length
 * @param subkey   distinguishes the key within the resource, for example by variant; empty for the resource itself
 */
public record TierKey(String resource, String subkey) {

    /** The key of the resource itself. */
    public static TierKey of(String resource) {
        return new TierKey(resource, "");
    }

    /** The key of the same resource with this subkey. */
    public TierKey withSubkey(String subkey) {
        return new TierKey(resource, subkey);
    }

    /** The key as one string, for people and URLs: the resource, then a colon and the subkey unless it is empty. */
    public String text() {
        return subkey.isEmpty() ? resource : resource + ":" + subkey;
    }

    /** The key with this {@link #text}. */
    public static TierKey parse(String text) {
        int colon = text.indexOf(':');
        return colon < 0 ? of(text) : new TierKey(text.substring(0, colon), text.substring(colon + 1));
    }
}
