package dev.corral.tier;

import java.util.List;

/**
 * One name that a purge removes, or makes stale.
 *
 * @param text what {@code Purges} calls it
 * @param soft whether entries of that name become stale instead of being removed
 */
record PurgedName(String text, boolean soft) {

    /** These names, all of one purge. */
    static List<PurgedName> of(List<String> names, boolean soft) {
        return names.stream().map(name -> new PurgedName(name, soft)).toList();
    }
}
