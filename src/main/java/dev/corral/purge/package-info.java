/** Purges in the memory of a replica: which names were purged at which position. Depends on no other package. */
@NullMarked
package dev.corral.purge;

import org.jspecify.annotations.NullMarked;
