/**
 * The services Corral needs beside it at development time, and the stampede that shows it at work: a real Redis, a demo
 * shop, replicas as processes. On the test class path only; the production jar has none of it. Knows Corral by its public
 * settings and by HTTP, and no room of it.
 */
@NullMarked
package dev.corral.dev;

import org.jspecify.annotations.NullMarked;
