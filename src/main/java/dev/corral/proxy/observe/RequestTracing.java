package dev.corral.proxy.observe;

import dev.corral.http.HeaderFields;
import dev.corral.origin.OriginRequest;
import java.util.function.Supplier;

/** Traces requests and fetches. Called on event loops: never blocks, never throws. */
public interface RequestTracing {

    /** Records nothing and has no cost. The trace fields are treated like all other header fields. */
    RequestTracing OFF = (method, path, fields, route, trusted) -> RequestSpan.NONE;

    /**
     * Called when a request arrives.
     *
     * @param path    without a query
     * @param fields  of the request
     * @param route   the route's id; {@code none} if no route matched
     * @param trusted whether to continue the trace that the fields refer to; otherwise a new trace begins
     */
    RequestSpan startRequest(String method, String path, HeaderFields fields, String route, boolean trusted);

    /** The span of one request. A shared fetch has its own trace; the requests that waited for it link to that trace. */
    interface RequestSpan {

        /** The span of a request that is not traced. */
        RequestSpan NONE = new RequestSpan() {
        };

        /**
         * Called when a fetch begins.
         *
         * @param unshared whether the fetch sends the client's own header fields and so belongs to the client's trace; otherwise
         *                 the fetch is the root of a new trace, and nothing of this trace reaches the origin
         */
        default FetchSpan startFetch(OriginRequest outgoing, boolean unshared) {
            return new FetchSpan.UntracedFetch(outgoing);
        }

        /** Called when this request begins to wait for a fetch, its own or the one of another request. */
        default WaitSpan startWait() {
            return WaitSpan.NONE;
        }

        /** Runs the task with this span as the current one, so that logs and metrics can refer to the trace. */
        default <T> T inScope(Supplier<T> task) {
            return task.get();
        }

        /**
         * Called when the response has ended.
         *
         * @param status of the response; 0 if no response was begun
         */
        default void end(int status, ProxyMetrics.RequestOutcome outcome) {}
    }

    /** The span of one fetch from an origin. Ends once. */
    interface FetchSpan {

        /** The span of a fetch that is not traced. */
        record UntracedFetch(OriginRequest request) implements FetchSpan {}

        /** The request to send. */
        OriginRequest request();

        /** The {@code traceparent} for {@link dev.corral.cache.Entry#traceparent()}; empty if the fetch is not traced. */
        default String traceparent() {
            return "";
        }

        /** Called when the response head has arrived from the origin. */
        default void responseReceived(int status) {}

        /** Called when the fetch has failed without a response. */
        default void failed(Throwable cause) {}

        /** Called when the response is not needed any more. */
        default void cancelled() {}
    }

    /** The span of one wait for a fetch. */
    interface WaitSpan {

        /** The wait of a request that is not traced. */
        WaitSpan NONE = (end, fetch) -> {};

        /**
         * Ends the wait. A wait that never ends is not recorded.
         *
         * @param end   how the wait ended: a bounded set
         * @param fetch the {@code traceparent} of the awaited fetch; empty if it is not known
         */
        void end(String end, String fetch);
    }
}
