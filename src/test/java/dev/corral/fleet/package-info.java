/**
 * End to end: replicas of the packaged jar as processes, a real Redis, and an origin that counts and answers when the test lets
 * it. Knows Corral by its settings, its port, its actuator, and what it leaves in Redis, and no room of it.
 */
@NullMarked
package dev.corral.fleet;

import org.jspecify.annotations.NullMarked;
