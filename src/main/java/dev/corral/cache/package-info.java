/**
 * HTTP caching (RFC 9111, 5861): which responses may be stored and reused, and the format of the stored entries. Pure functions over
 * values; time is an argument. Depends on {@code http}.
 */
@NullMarked
package dev.corral.cache;

import org.jspecify.annotations.NullMarked;
