/**
 * HTTP messages (RFC 9110, 9112, 9211, 9213): parsed values and pure functions over them. Time is an argument. Depends on the JDK
 * and the structured-fields parser only.
 */
@NullMarked
package dev.corral.http;

import org.jspecify.annotations.NullMarked;
