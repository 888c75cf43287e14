/** Purges as every replica sees them: which names were purged at which position. Knows no other package. */
@NullMarked
package dev.corral.purge;

import org.jspecify.annotations.NullMarked;
