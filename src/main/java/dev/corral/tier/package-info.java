/**
 * The shared tier over Redis, the near cache before it, and the fleet's purges. Redisson holds the locks; Lettuce reads and runs
 * the scripts; both are built from Spring's own {@code spring.data.redis.*}. Knows {@code coalesce}; values are opaque and a
 * {@link dev.corral.tier.Codec} is given.
 */
@NullMarked
package dev.corral.tier;

import org.jspecify.annotations.NullMarked;
