/** What Reactor Netty leaves open on a client connection: strict parsing, limits, interim responses. */
@NullMarked
package dev.corral.proxy.netty;

import org.jspecify.annotations.NullMarked;
