package dev.corral.proxy.observe;

import dev.corral.http.HeaderFields;
import dev.corral.origin.OriginRequest;
import java.util.function.Supplier;

/** Follows requests and fetches for those who look at traces. Called on event loops: never blocks, never throws. */
public interface RequestTracing {

    /** Sees nothing, costs nothing, and leaves the fields of a trace to the rules for all other fields. */
    RequestTracing OFF = (method, path, fields, route, trusted) -> RequestSpan.NONE;

    /**
     * A request has come.
     *
     * @param path    without a query
     * @param fields  of the request
     * @param route   the route's id, {@code none} where no route matched
     * @param trusted whether a trace that the fields speak of is gone on with; else a new one begins
     */
    RequestSpan startRequest(String method, String path, HeaderFields fields, String route, boolean trusted);

    /** The trace of one request. Its fetches for others are traces of their own, to which all who waited are linked. */
    interface RequestSpan {

        /** Of a request that is not traced. */
        RequestSpan NONE = new RequestSpan() {
        };

        /**
         * A fetch begins.
         *
         * @param own whether it is asked for in the client's own words, and so belongs to his trace; else it is a new root, and
         *            nothing of this trace reaches the origin
         */
        default FetchSpan startFetch(OriginRequest outgoing, boolean own) {
            return new FetchSpan.UntracedFetch(outgoing);
        }

        /** This request begins to wait for a fetch, its own or another's. */
        default WaitSpan startWait() {
            return WaitSpan.NONE;
        }

        /** Does this where the log and the meters can see the trace. */
        default <T> T inScope(Supplier<T> task) {
            return task.get();
        }

        /**
         * The request's answer has ended.
         *
         * @param status of the answer; 0 when none had begun
         */
        default void end(int status, ProxyMetrics.RequestOutcome outcome) {}
    }

    /** One fetch from an origin. Ends once. */
    interface FetchSpan {

        /** A fetch that is not traced. */
        record UntracedFetch(OriginRequest request) implements FetchSpan {}

        /** What to send. */
        OriginRequest request();

        /** Its {@code traceparent}, for {@link dev.corral.cache.Entry#traceparent()}; empty when it is not traced. */
        default String traceparent() {
            return "";
        }

        /** The origin has answered. */
        default void responseReceived(int status) {}

        /** There will be no answer. */
        default void failed(Throwable cause) {}

        /** Nobody wants the answer any more. */
        default void cancelled() {}
    }

    /** One wait. */
    interface WaitSpan {

        /** Of a request that is not traced. */
        WaitSpan NONE = (end, fetch) -> {};

        /**
         * It is over. A wait that never ends leaves no trace.
         *
         * @param end   how: a bounded set
         * @param fetch the {@code traceparent} of the fetch that was waited for; empty when it is not known
         */
        void end(String end, String fetch);
    }
}
