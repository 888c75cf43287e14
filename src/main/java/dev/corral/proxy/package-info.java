/**
 * Processing of a client request: route, cache lookup, flight or pass, response. Start reading at
 * {@link dev.corral.proxy.CacheController}.
 */
@NullMarked
package dev.corral.proxy;

import org.jspecify.annotations.NullMarked;
