/** Memory budgets in bytes. Depends on no other package of Corral. */
@NullMarked
package dev.corral.memory;

import org.jspecify.annotations.NullMarked;
