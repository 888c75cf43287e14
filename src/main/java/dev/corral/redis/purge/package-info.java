/** Purges in Redis: the stream, its replay, the acknowledgements and the clock of the fleet. */
@NullMarked
package dev.corral.redis.purge;

import org.jspecify.annotations.NullMarked;
