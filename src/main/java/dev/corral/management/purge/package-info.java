/** Purges by operators and plugins, and the inspection of cached entries. */
@NullMarked
package dev.corral.management.purge;

import org.jspecify.annotations.NullMarked;
