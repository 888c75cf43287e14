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

    /** As one text, for people and URLs: the resource, and behind a colon the lane. */
    public String text() {
        return lane.isEmpty() ? resource : resource + ":" + lane;
    }

    /** The key of that {@link #text}. */
    public static Key parse(String text) {
        int colon = text.indexOf(':');
        return colon < 0 ? of(text) : new Key(text.substring(0, colon), text.substring(colon + 1));
    }
}
