package dev.corral.coalesce;

/**
 * A name in the shared tier. All keys of one resource live together, so that one step can touch them all.
 *
 * @param resource the resource: a hash of its canonical cache key, so that names are short and of one length
 * @param lane     what distinguishes it within the resource, such as a variant; empty for the resource itself
 */
public record Key(String resource, String lane) {

    /** The key of the resource itself. */
    public static Key of(String resource) {
        return new Key(resource, "");
    }

    /** Another key of the same resource. */
    public Key lane(String name) {
        return new Key(resource, name);
    }
}
