/** The state of the fleet, its history, and the dashboard. */
@NullMarked
package dev.corral.management.fleet;

import org.jspecify.annotations.NullMarked;
