/**
 * Who fills and who waits: at most one fetch in flight per key in the whole fleet. Generic in key and value: never sees a
 * header. Knows the JDK and Reactor, and no other room.
 */
@NullMarked
package dev.corral.coalesce;

import org.jspecify.annotations.NullMarked;
