/** Configuration: the settings, and the beans that connect the packages. Depends on all packages; only the root depends on it. */
@NullMarked
package dev.corral.config;

import org.jspecify.annotations.NullMarked;
