/**
 * WebFlux in and out: a request becomes values, the rooms below decide and act, a response goes out. Knows {@code coalesce},
 * {@code http} and {@code origin}.
 */
@NullMarked
package dev.corral.edge;

import org.jspecify.annotations.NullMarked;
