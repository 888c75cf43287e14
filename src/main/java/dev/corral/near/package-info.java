/** The near cache: entries in the memory of this process, in front of the shared tier. */
@NullMarked
package dev.corral.near;

import org.jspecify.annotations.NullMarked;
