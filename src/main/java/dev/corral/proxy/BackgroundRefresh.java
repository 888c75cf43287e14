package dev.corral.proxy;

import reactor.core.publisher.Mono;

/** Revalidates in the background a response that was just served: at most one fetch in the fleet. */
final class BackgroundRefresh {

    private BackgroundRefresh() {}

    /** Starts the refresh of what was found there, unless this replica has it in flight. The fetch is the cache's own request. */
    static void start(ProxyContext context, ClientRequest served, LookupTarget target) {
        ClientRequest request = served.withoutClient();
        var unshared = new UnsharedResponse();
        var fill = new FillFetch(context, request, target, new EntryRules(context, request), unshared, true);
        if (!context.coalescer().isInFlight(fill.key())) {
            Mono.defer(() -> context.coalescer().join(fill))
                    .doFinally(end -> unshared.release())
                    .subscribe(result -> {}, e -> context.metrics().recordBackgroundError("background refresh", e));
        }
    }
}
