/**
 * Request coalescing: at most one fetch in flight per key in the whole fleet. Generic in key and value: never sees a header field.
 * Knows the JDK and Reactor.
 */
@NullMarked
package dev.corral.coalesce;

import org.jspecify.annotations.NullMarked;
