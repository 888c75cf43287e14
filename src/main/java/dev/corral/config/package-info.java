/** Configuration: the properties, and the beans that connect the packages. Knows all of them; none knows it. */
@NullMarked
package dev.corral.config;

import org.jspecify.annotations.NullMarked;
