package dev.corral.proxy;

import dev.corral.coalesce.TierKey;
import dev.corral.http.CacheStatus.ForwardReason;
import java.util.List;
import java.util.Optional;

/**
 * Where a request looks for its response, and what it has learned on the way.
 *
 * @param key              the resource, or the variant that a {@code Vary} led to
 * @param isResource       whether {@code key} is the resource
 * @param reason           why the request would go to the origin, for {@code Cache-Status}
 * @param varyNames        the request fields by which the resource is known to vary; a shared fetch carries them
 * @param earlierVaryNames the request fields that select among stored variants; a response without {@code Vary} does not hide those
 * @param variantLookedUp  whether such a variant has been looked up; it is looked up once
 */
record LookupTarget(TierKey key, boolean isResource, ForwardReason reason, List<String> varyNames,
        List<String> earlierVaryNames, boolean variantLookedUp) {

    /** The resource of a request that knows nothing yet. */
    static LookupTarget ofResource(ClientRequest request) {
        return new LookupTarget(request.keys().resourceKey(), true, ForwardReason.URI_MISS, List.of(), List.of(),
                false);
    }

    LookupTarget withReason(Optional<ForwardReason> known) {
        return known.isEmpty() || known.get() == reason
                ? this
                : new LookupTarget(key, isResource, known.get(), varyNames, earlierVaryNames, variantLookedUp);
    }

    /** The request's variant of the resource. */
    LookupTarget ofVariant(TierKey variant, List<String> names) {
        return new LookupTarget(variant, false, ForwardReason.VARY_MISS, names,
                isResource ? names : earlierVaryNames, variantLookedUp);
    }

    /** After a lookup of a variant that these fields select, which found nothing usable. */
    LookupTarget withVariantLookedUp(List<String> names) {
        return new LookupTarget(key, isResource, reason, names, names, true);
    }
}
