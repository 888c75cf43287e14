package dev.corral.dev;

import dev.corral.http.HeaderFields;

/**
 * A request received by an origin stub: method, request target with query, fields, size of the body, and its number among the requests
 * for that target, from 1.
 */
public record StubRequest(String method, String target, HeaderFields fields, long bodyBytes, long number) {

    /** The target without its query. */
    public String path() {
        int query = target.indexOf('?');
        return query < 0 ? target : target.substring(0, query);
    }
}
