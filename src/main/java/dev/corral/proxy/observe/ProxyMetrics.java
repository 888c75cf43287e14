package dev.corral.proxy.observe;

import java.time.Duration;
import java.util.Locale;

/** The metrics of the proxy. Called on event loops: implementations never block and never throw. */
public interface ProxyMetrics {

    /**
     * Records a client request whose response has ended.
     *
     * @param route   the route's id; {@code none} if no route matched
     * @param outcome a bounded set, see {@link RequestOutcome}
     * @param time    from the arrival of the request to the end of the response
     */
    void recordRequest(String route, RequestOutcome outcome, Duration time);

    /**
     * Records a request to an origin.
     *
     * @param result a bounded set: {@code answered}, or the reason of the failure
     */
    void recordFetch(String route, String result, Duration time);

    /** Records the failure of a background task. Each one is a bug. */
    default void recordBackgroundError(String task, Throwable cause) {}

    /** The outcome of a client request. */
    enum RequestOutcome {
        /** Served from a fresh stored response. */
        HIT,
        /** Served from a stored response that is stale, where that is allowed. */
        STALE,
        /** Served by the fetch of this request, whose response is shared with all waiting requests. */
        MISS,
        /** Served by the fetch of another request. */
        COLLAPSED,
        /** Served by a fetch of this request whose response is not shared. */
        BYPASS,
        /** The method is not cacheable. */
        PASS,
        /** The origin returned an error or could not be reached. */
        FAILED,
        /** Not served: no route, a limit is exceeded, or the method or the request is not supported. */
        REJECTED,
        /** The client disconnected before its response was complete. */
        CLIENT_CLOSED;

        /** The value of the metric tag. */
        public String tag() {
            return name().toLowerCase(Locale.ROOT);
        }
    }
}
