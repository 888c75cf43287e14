/**
 * One request to one origin: connections, deadlines, the circuit breaker and the bound on what is under way. Decides nothing
 * about caching. Knows {@code http}'s values and no other room.
 */
@NullMarked
package dev.corral.origin;

import org.jspecify.annotations.NullMarked;
