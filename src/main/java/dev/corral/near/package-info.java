/** The near cache: entries in the memory of this replica, in front of the shared tier. */
@NullMarked
package dev.corral.near;

import org.jspecify.annotations.NullMarked;
