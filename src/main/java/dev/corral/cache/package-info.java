/**
 * HTTP caching (RFC 9111, 5861): what may be stored, what may be reused, and the format of what is stored. Pure functions over
 * values; time is an argument. Knows {@code http}.
 */
@NullMarked
package dev.corral.cache;

import org.jspecify.annotations.NullMarked;
