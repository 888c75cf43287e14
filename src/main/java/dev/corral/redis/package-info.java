/**
 * The shared tier in Redis: entries, locks, notifications, and the availability of Redis. Depends on {@code coalesce}, {@code
 * purge} and {@code memory}.
 */
@NullMarked
package dev.corral.redis;

import org.jspecify.annotations.NullMarked;
