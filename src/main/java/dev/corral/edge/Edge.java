package dev.corral.edge;

import dev.corral.coalesce.AwaitedInvalidation;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.Key;
import dev.corral.coalesce.Purges;
import dev.corral.http.Entry;
import java.time.InstantSource;
import java.util.Optional;
import java.util.function.Function;

/**
 * What every visit needs of the rooms below.
 *
 * @param near      the memory in this process: a value that may be used without asking anybody; else empty
 * @param isolation how long what is stored may be served while this replica does not hear of purges
 * @param invalidation of what unsafe requests have changed
 * @param clock     the fleet's clock: ages are judged by it, on every replica alike
 * @param variants  which variants have been stored here
 * @param memory    what responses on their way may take
 * @param coalesces false sends every miss to the origin, for comparison only
 */
public record Edge(Coalescer<Key, Entry> coalescer, Function<Key, Optional<Entry>> near, Purges purges,
        Isolation isolation, AwaitedInvalidation invalidation, InstantSource clock,
        Traffic traffic, Variants variants, Memory memory, boolean coalesces) {}
