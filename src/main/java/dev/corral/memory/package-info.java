/** Budgets in bytes. Knows no other package. */
@NullMarked
package dev.corral.memory;

import org.jspecify.annotations.NullMarked;
