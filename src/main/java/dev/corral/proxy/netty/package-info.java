/** Additions to Reactor Netty for client connections: strict parsing, limits, interim responses, draining. */
@NullMarked
package dev.corral.proxy.netty;

import org.jspecify.annotations.NullMarked;
