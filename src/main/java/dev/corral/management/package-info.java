/** The management port. See its packages: endpoints, purge, fleet and dashboard, security. */
@NullMarked
package dev.corral.management;

import org.jspecify.annotations.NullMarked;
