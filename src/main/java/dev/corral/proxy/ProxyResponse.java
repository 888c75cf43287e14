package dev.corral.proxy;

import dev.corral.cache.StoredResponse;
import dev.corral.http.Body;
import dev.corral.http.CacheStatus;
import dev.corral.http.Problem;
import dev.corral.http.ResponseHead;
import dev.corral.origin.OriginResponse;
import dev.corral.proxy.observe.ProxyMetrics;

/** What a visit came to, ready to be written. */
sealed interface ProxyResponse {

    /** For Cache-Status. */
    CacheStatus cacheStatus();

    /** For the meters. */
    ProxyMetrics.RequestOutcome outcome();

    /** A stored answer, to be fitted to what this client asked. */
    record Cached(StoredResponse response, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}

    /** The origin's answer to this request alone, as it is. */
    record Passed(OriginResponse response, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}

    /** The origin's error, shared. */
    record SharedError(ResponseHead head, Body body, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}

    /** An error of our own. */
    record ProblemResponse(Problem problem, CacheStatus cacheStatus,
            ProxyMetrics.RequestOutcome outcome) implements ProxyResponse {}
}
