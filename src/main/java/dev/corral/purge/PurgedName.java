package dev.corral.purge;

import java.util.List;

/**
 * One name that a purge removes, or makes stale.
 *
 * @param name what {@code Purges} calls it
 * @param isSoft whether entries of that name become stale instead of being removed
 */
public record PurgedName(String name, boolean isSoft) {

    /** These names, all of one purge. */
    public static List<PurgedName> of(List<String> names, boolean soft) {
        return names.stream().map(name -> new PurgedName(name, soft)).toList();
    }
}
