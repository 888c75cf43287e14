/** The application. See docs/ARCHITECTURE.md for the packages and who may know whom. */
@NullMarked
package dev.corral;

import org.jspecify.annotations.NullMarked;
