/** The front door: {@code main()}, the settings and the only wiring. Sees every room; no room sees it. */
@NullMarked
package dev.corral;

import org.jspecify.annotations.NullMarked;
