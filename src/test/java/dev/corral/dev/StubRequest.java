package dev.corral.dev;

import dev.corral.http.HeaderFields;

/**
 * A request as an origin stub received it: method, request target with its query, fields, size of the body, and which
 * request for that target it is, from 1.
 */
public record StubRequest(String method, String target, HeaderFields fields, long bodyBytes, long number) {

    /** The target without its query. */
    public String path() {
        int query = target.indexOf('?');
        return query < 0 ? target : target.substring(0, query);
    }
}
