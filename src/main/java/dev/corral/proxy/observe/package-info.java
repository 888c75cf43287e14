/** What operators see of requests: metrics, traces, access log. */
@NullMarked
package dev.corral.proxy.observe;

import org.jspecify.annotations.NullMarked;
