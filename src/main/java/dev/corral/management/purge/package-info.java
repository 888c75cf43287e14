/** Purges by operators and plugins, and the inspection of what is cached. */
@NullMarked
package dev.corral.management.purge;

import org.jspecify.annotations.NullMarked;
