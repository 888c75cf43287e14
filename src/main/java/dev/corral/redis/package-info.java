/**
 * The shared tier over Redis: entries, locks, notifications, and whether Redis is available. Knows {@code coalesce}, {@code purge} and
 * {@code memory}.
 */
@NullMarked
package dev.corral.redis;

import org.jspecify.annotations.NullMarked;
