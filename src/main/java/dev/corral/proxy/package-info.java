/**
 * The way of a client request: route, cache lookup, flight or pass, response. Begin with {@link dev.corral.proxy.CacheController}.
 */
@NullMarked
package dev.corral.proxy;

import org.jspecify.annotations.NullMarked;
