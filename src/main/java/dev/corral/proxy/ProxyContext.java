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
 * The collaborators that handling any request needs.
 *
 * @param near              the near cache in this process: returns a value that may be used without contacting Redis, if there is
 *                          one
 * @param isolation         how long stored responses may be served while this replica does not receive purges
 * @param invalidation      purges the resources that unsafe requests have changed
 * @param clock             the fleet clock: all replicas compute ages with it
 * @param variantLimiter    bounds the variants that this replica stores for a resource
 * @param memory            limits the memory of responses in transit
 * @param coalescingEnabled if false, every miss goes to the origin; for comparison only
 */
public record ProxyContext(Coalescer<TierKey, Entry> coalescer, Function<TierKey, Optional<Entry>> near,
        PurgeRegistry purges,
        IsolationLimit isolation, AwaitedInvalidation invalidation, InstantSource clock,
        ProxyMetrics metrics, VariantLimiter variantLimiter, ResponseMemory memory, boolean coalescingEnabled) {}
