package dev.corral.proxy;

import dev.corral.cache.Entry;
import dev.corral.coalesce.Coalescer;
import dev.corral.coalesce.TierKey;
import dev.corral.proxy.observe.ProxyMetrics;
import dev.corral.purge.PurgeRegistry;
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
 * @param variantLimiter  which variants have been stored here
 * @param memory    what responses on their way may take
 * @param coalescingEnabled false sends every miss to the origin, for comparison only
 */
public record ProxyContext(Coalescer<TierKey, Entry> coalescer, Function<TierKey, Optional<Entry>> near,
        PurgeRegistry purges,
        IsolationLimit isolation, AwaitedInvalidation invalidation, InstantSource clock,
        ProxyMetrics metrics, VariantLimiter variantLimiter, ResponseMemory memory, boolean coalescingEnabled) {}
