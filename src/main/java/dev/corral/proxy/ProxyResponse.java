package dev.corral.proxy;

import dev.corral.cache.StoredResponse;
import dev.corral.http.Body;
import dev.corral.http.CacheStatus;
import dev.corral.http.Problem;
import dev.corral.http.ResponseHead;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics;

/** The result of handling a request, ready to be written. */
sealed interface ProxyResponse {

    /** The Cache-Status of the response (RFC 9211). */
    CacheStatus cacheStatus();

    /** The outcome for the metrics. */
    ProxyMetrics.RequestOutcome outcome();

    /** A stored response, still to be adapted to this client's request (conditions, ranges, HEAD). */
    record Cached(StoredResponse response, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}

    /** The origin's unchanged response to this request only. */
    record Passed(OriginResponse response, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}

    /** The origin's error response, shared by all waiting requests. */
    record SharedError(ResponseHead head, Body body, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}

    /** An error response that the proxy generates. */
    record ProblemResponse(Problem problem, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}
}
