/** The replicas of the fleet, as Redis knows them: heartbeats and their history. */
@NullMarked
package dev.corral.redis.fleet;

import org.jspecify.annotations.NullMarked;
