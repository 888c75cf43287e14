package dev.corral.http;

/**
 * A response without its body: the final status and the fields.
 *
 * @param status 200 to 999, as received
 */
public record ResponseHead(int status, HeaderFields fields) {}
