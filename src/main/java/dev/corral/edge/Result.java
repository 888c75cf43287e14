package dev.corral.edge;

import dev.corral.http.Body;
import dev.corral.http.CacheStatus;
import dev.corral.http.Head;
import dev.corral.http.Stored;
import dev.corral.origin.Answer;

/** What a visit came to, ready to be written. */
sealed interface Result {

    /** For Cache-Status. */
    CacheStatus status();

    /** For the meters. */
    Traffic.Outcome outcome();

    /** A stored answer, to be fitted to what this client asked. */
    record FromStore(Stored stored, CacheStatus status, Traffic.Outcome outcome) implements Result {}

    /** The origin's answer to this request alone, as it is. */
    record FromOrigin(Answer answer, CacheStatus status, Traffic.Outcome outcome) implements Result {}

    /** The origin's error, shared. */
    record Shared(Head head, Body body, CacheStatus status, Traffic.Outcome outcome) implements Result {}

    /** An error of our own. */
    record Refused(Problem problem, CacheStatus status, Traffic.Outcome outcome) implements Result {}
}
