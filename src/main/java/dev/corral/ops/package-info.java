/** What operators see and do: meters, health, purge. Knows {@code coalesce} and no other room. */
@NullMarked
package dev.corral.ops;

import org.jspecify.annotations.NullMarked;
