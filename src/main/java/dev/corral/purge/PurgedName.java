package dev.corral.purge;

import java.util.List;

/**
 * A name of a purge, and how it is purged.
 *
 * @param name   a name, as in {@link PurgeRegistry.Purge#names}
 * @param isSoft whether matching entries become stale instead of being removed
 */
public record PurgedName(String name, boolean isSoft) {

    /** The names of one purge, all of them hard or all soft. */
    public static List<PurgedName> of(List<String> names, boolean isSoft) {
        return names.stream().map(name -> new PurgedName(name, isSoft)).toList();
    }
}
