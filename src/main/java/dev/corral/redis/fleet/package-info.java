/** The fleet's record in Redis: the replicas, their heartbeats, and the history of their statuses. */
@NullMarked
package dev.corral.redis.fleet;

import org.jspecify.annotations.NullMarked;
