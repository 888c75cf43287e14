package dev.corral.proxy.observe;

import java.time.Duration;
import java.util.Locale;

/** What the edge tells its operators. Called on event loops: implementations never block and never throw. */
public interface ProxyMetrics {

    /**
     * One request was answered.
     *
     * @param route   the route's id, {@code none} where no route matched
     * @param outcome a bounded set, see {@link RequestOutcome}
     * @param time    from the request's arrival to the end of the answer
     */
    void recordRequest(String route, RequestOutcome outcome, Duration time);

    /**
     * One request was sent to an origin.
     *
     * @param result a bounded set: {@code answered}, or the reason why not
     */
    void recordFetch(String route, String result, Duration time);

    /** A background task failed; each is a bug. */
    default void recordBackgroundError(String task, Throwable cause) {}

    /** What became of a request. */
    enum RequestOutcome {
        /** From a stored answer, fresh. */
        HIT,
        /** From a stored answer, stale but allowed. */
        STALE,
        /** This request's own fetch, shared with whoever waited. */
        MISS,
        /** Another request's fetch. */
        COLLAPSED,
        /** This request's own fetch, for itself only. */
        BYPASS,
        /** A method that is not cached. */
        PASS,
        /** An error of the origin, or of reaching it. */
        FAILED,
        /** Not served: no route, over a limit, a method or request we do not take. */
        REJECTED,
        /** The client left before its answer. */
        CLIENT_CLOSED;

        /** As a metric's tag. */
        public String tag() {
            return name().toLowerCase(Locale.ROOT);
        }
    }
}
