/** Logins, roles, CSRF protection, audit and error responses of the management port. */
@NullMarked
package dev.corral.management.security;

import org.jspecify.annotations.NullMarked;
