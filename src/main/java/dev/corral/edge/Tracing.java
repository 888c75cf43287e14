package dev.corral.edge;

import dev.corral.http.Fields;
import dev.corral.origin.Outgoing;
import java.util.function.Supplier;

/** Follows requests and fetches for those who look at traces. Called on event loops: never blocks, never throws. */
public interface Tracing {

    /** Sees nothing, costs nothing, and leaves the fields of a trace to the rules for all other fields. */
    Tracing OFF = (method, path, fields, route, trusted) -> Trace.NONE;

    /**
     * A request has come.
     *
     * @param path    without a query
     * @param fields  of the request
     * @param route   the route's id, {@code none} where no route matched
     * @param trusted whether a trace that the fields speak of is gone on with; else a new one begins
     */
    Trace begin(String method, String path, Fields fields, String route, boolean trusted);

    /** The trace of one request. Its fetches for others are traces of their own, to which all who waited are linked. */
    interface Trace {

        /** Of a request that is not traced. */
        Trace NONE = new Trace() {
        };

        /**
         * A fetch begins.
         *
         * @param own whether it is asked for in the client's own words, and so belongs to his trace; else it is a new root, and
         *            nothing of this trace reaches the origin
         */
        default Leg fetch(Outgoing outgoing, boolean own) {
            return new Leg.Untraced(outgoing);
        }

        /** This request begins to wait for a fetch, its own or another's. */
        default Wait waits() {
            return Wait.NONE;
        }

        /** Does this where the log and the meters can see the trace. */
        default <T> T within(Supplier<T> task) {
            return task.get();
        }

        /**
         * The request's answer has ended.
         *
         * @param status of the answer; 0 when none had begun
         */
        default void ended(int status, Traffic.Outcome outcome) {}
    }

    /** One fetch from an origin. Ends once. */
    interface Leg {

        /** A fetch that is not traced. */
        record Untraced(Outgoing outgoing) implements Leg {}

        /** What to send. */
        Outgoing outgoing();

        /** Its {@code traceparent}, for {@link dev.corral.http.Entry#trace()}; empty when it is not traced. */
        default String id() {
            return "";
        }

        /** The origin has answered. */
        default void answered(int status) {}

        /** There will be no answer. */
        default void failed(Throwable cause) {}

        /** Nobody wants the answer any more. */
        default void cancelled() {}
    }

    /** One wait. */
    interface Wait {

        /** Of a request that is not traced. */
        Wait NONE = (end, fetch) -> {};

        /**
         * It is over. A wait that never ends leaves no trace.
         *
         * @param end   how: a bounded set
         * @param fetch the {@code traceparent} of the fetch that was waited for; empty when it is not known
         */
        void over(String end, String fetch);
    }
}
