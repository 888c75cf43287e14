/**
 * The edge end to end in one JVM: two replicas of the whole application over one real Redis, an origin on a raw socket that
 * does what a test says, and clients that see every byte. Knows Corral by its settings and by HTTP; only to learn how many
 * requests wait it looks inside.
 *
 * <p>"Public behaviour 12" in a comment is a number of {@code public-behaviours.md}: what other caches are held to, and by which
 * test Corral is.
 */
@NullMarked
package dev.corral.edge;

import org.jspecify.annotations.NullMarked;
