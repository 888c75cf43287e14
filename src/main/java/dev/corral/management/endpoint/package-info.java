/** Actuator endpoints and health indicators. */
@NullMarked
package dev.corral.management.endpoint;

import org.jspecify.annotations.NullMarked;
