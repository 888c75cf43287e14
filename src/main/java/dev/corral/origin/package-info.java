/**
 * The HTTP client of one origin: connections, time limits, circuit breakers and the limit of concurrent requests. Makes no caching
 * decision. Depends on {@code http} only.
 */
@NullMarked
package dev.corral.origin;

import org.jspecify.annotations.NullMarked;
