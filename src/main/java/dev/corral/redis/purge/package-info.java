/**
 * Purges in Redis: the stream, its replay, the acknowledgements, and the fleet's clock. The protocol is described in {@link
 * dev.corral.redis.purge.RedisPurgeRegistry}.
 */
@NullMarked
package dev.corral.redis.purge;

import org.jspecify.annotations.NullMarked;
