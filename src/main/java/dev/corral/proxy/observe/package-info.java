/** Metrics, traces and the access log of client requests. */
@NullMarked
package dev.corral.proxy.observe;

import org.jspecify.annotations.NullMarked;
