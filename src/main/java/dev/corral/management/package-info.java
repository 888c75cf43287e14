/** The management port: metrics, breakers and shutdown here; endpoints, purges, fleet and security in the sub packages. */
@NullMarked
package dev.corral.management;

import org.jspecify.annotations.NullMarked;
