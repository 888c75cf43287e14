/**
 * Request coalescing: at most one fetch per key is in flight in the whole fleet. Generic in key and value; does not know HTTP.
 * Depends on the JDK and Reactor only.
 */
@NullMarked
package dev.corral.coalesce;

import org.jspecify.annotations.NullMarked;
