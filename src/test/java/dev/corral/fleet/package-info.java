/**
 * End-to-end tests: replicas of the packaged jar as processes, a real Redis, and an origin that counts and that responds when the test lets
 * it. They use Corral's settings, ports, actuator and Redis keys, none of its packages.
 */
@NullMarked
package dev.corral.fleet;

import org.jspecify.annotations.NullMarked;
