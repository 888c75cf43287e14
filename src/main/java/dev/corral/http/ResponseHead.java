package dev.corral.http;

/**
 * A response without its body: final status and header fields.
 *
 * @param status 200 to 999, as received
 */
public record ResponseHead(int status, HeaderFields fields) {}
