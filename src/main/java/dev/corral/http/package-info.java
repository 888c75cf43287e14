/**
 * The HTTP caching rules (RFC 9110, 9111, 5861, 9211, 9213) as pure functions over values: no I/O, no clock, no log. Time is
 * an argument. Knows no other room and no framework.
 */
@NullMarked
package dev.corral.http;

import org.jspecify.annotations.NullMarked;
