/**
 * One request to one origin: connections, time limits, circuit breakers and the limit of concurrent requests. Decides nothing about
 * caching. Knows {@code http}.
 */
@NullMarked
package dev.corral.origin;

import org.jspecify.annotations.NullMarked;
