/**
 * The services that Corral needs at development time, and the stampede that demonstrates it: a real Redis, a demo shop, replicas as
 * processes. On the test class path only, not in the production jar. Uses Corral's settings and HTTP, none of its packages.
 */
@NullMarked
package dev.corral.dev;

import org.jspecify.annotations.NullMarked;
