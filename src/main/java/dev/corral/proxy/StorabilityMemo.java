package dev.corral.proxy;

import dev.corral.cache.CachePolicy;
import dev.corral.cache.Storability;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Instant;
import java.time.InstantSource;
import org.jspecify.annotations.Nullable;

/** What the rules say of a response, decided once, when its head is there. Not thread-safe: signals come one by one. */
final class StorabilityMemo {

    private final RequestHead request;
    private final CachePolicy policy;
    private final InstantSource clock;
    private final Instant requestTime;
    private @Nullable Storability storability;

    StorabilityMemo(RequestHead request, CachePolicy policy, InstantSource clock) {
        this.request = request;
        this.policy = policy;
        this.clock = clock;
        this.requestTime = clock.instant();
    }

    /** When the origin was asked (RFC 9111 section 4.2.3). */
    Instant requestTime() {
        return requestTime;
    }

    Storability decide(ResponseHead head) {
        Storability decided = storability;
        if (decided == null) {
            decided = Storability.decide(request, head, policy, requestTime, clock.instant());
            storability = decided;
        }
        return decided;
    }
}
