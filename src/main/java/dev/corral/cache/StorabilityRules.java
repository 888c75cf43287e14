package dev.corral.cache;

import dev.corral.http.CacheControl;
import dev.corral.http.FieldSyntax;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.HttpDate;
import dev.corral.http.RequestHead;
import dev.corral.http.ResponseHead;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * The rules behind {@link Storability}: restrictions (RFC 9111 section 3), freshness lifetime and age (4.2), and stale windows. One
 * instance evaluates one response.
 */
final class StorabilityRules {

    /** Waiting requests are served from the entry, so it must exist until they have noticed it, by notification or by polling. */
    private static final Duration MIN_RETENTION = Duration.ofSeconds(3);

    /** A response with a validator is retained for another freshness lifetime, but at least for this time, to revalidate it. */
    private static final Duration MIN_REVALIDATION_WINDOW = Duration.ofMinutes(10);

    private final RequestHead request;
    private final ResponseHead response;
    private final CachePolicy policy;
    private final Instant requestTime;
    private final Instant responseTime;
    private final ResponseDirectives directives;

    private StorabilityRules(RequestHead request, ResponseHead head, CachePolicy policy, Instant requestTime,
            Instant responseTime) {
        this.request = request;
        this.response = head;
        this.policy = policy;
        this.requestTime = requestTime;
        this.responseTime = responseTime;
        this.directives = ResponseDirectives.of(head.fields(), policy);
    }

    static Storability evaluate(RequestHead request, ResponseHead head, CachePolicy policy, Instant requestTime,
            Instant responseTime) {
        return new StorabilityRules(request, head, policy, requestTime, responseTime).decide();
    }

    private Storability decide() {
        int status = response.status();
        if (status < 200) {
            return new Storability.DoNotStore("interim", false);
        }
        if (status == 206 || status == 304) {
            // A shared fetch requests neither. By section 3 they have a meaning only in relation to another response.
            return new Storability.DoNotStore(status == 206 ? "partial" : "not-modified", false);
        }
        if (status == 429) {
            // RFC 6585 section 4: never stored. The origin is overloaded, so the waiting requests must not all be forwarded to it.
            return new Storability.FailFill("too-many-requests", false);
        }
        Optional<FreshnessLifetime> freshness = freshnessLifetime();
        Optional<String> forbidden = forbiddenReason(freshness);
        if (status >= 500) {
            return forbidden.isEmpty() && freshness.isPresent() && isReusable(freshness.get())
                    ? store(freshness.get())
                    : new Storability.FailFill("server-error", forbidden.isEmpty());
        }
        if (forbidden.isEmpty() && freshness.isEmpty() && !directives.cacheControl().isPublic()
                && !isHeuristicallyCacheable(status)) {
            // Section 3, last condition.
            return new Storability.DoNotStore("status", true);
        }
        if (forbidden.isPresent()) {
            // A restriction by this request alone must not create a hit-for-miss marker.
            boolean requestOnly = forbidden.get().equals("method") || forbidden.get().equals("request-no-store");
            return new Storability.DoNotStore(forbidden.get(), !requestOnly);
        }
        return store(freshness.orElse(FreshnessLifetime.NONE));
    }

    private Optional<String> forbiddenReason(Optional<FreshnessLifetime> freshness) {
        CacheControl cacheControl = directives.cacheControl();
        if (request.bypassReason().isPresent()) {
            return Optional.of("method");
        }
        if (policy.forbidsStoring(request)) {
            return Optional.of("request-no-store");
        }
        if (cacheControl.mustUnderstand() ? !isUnderstoodStatus(response.status()) : cacheControl.noStore()) {
            // Section 5.2.2.3: must-understand overrides no-store if the cache understands the status code.
            return Optional.of(cacheControl.mustUnderstand() ? "not-understood" : "no-store");
        }
        if (isNeverStored(response.status())) {
            return Optional.of("status");
        }
        if (cacheControl.isPrivate()) {
            return Optional.of("private");
        }
        if (!policy.storeSetCookie() && response.fields().has("Set-Cookie")) {
            return Optional.of("set-cookie");
        }
        if (Vary.isStar(response)) {
            return Optional.of("vary-star");
        }
        if (StreamDetection.isDeclaredStream(response)) {
            return Optional.of("stream");
        }
        boolean explicitlyShareable = isExplicitlyShareable();
        if (request.hasAuthorization() && !explicitlyShareable && !cacheControl.mustRevalidate()) {
            // Section 3.5.
            return Optional.of("authorization");
        }
        if (request.hasCookieOrCredential() && !policy.coalesceWithCookies() && !explicitlyShareable
                && !freshness.map(this::isReusable).orElse(false)) {
            return Optional.of("cookie");
        }
        return SurrogateTags.tryParse(response, policy).isEmpty() ? Optional.of("tags") : Optional.empty();
    }

    /** Whether the origin permits use for any client. An {@code s-maxage} that is zero or invalid does not. */
    private boolean isExplicitlyShareable() {
        CacheControl cacheControl = directives.cacheControl();
        return cacheControl.isPublic() || cacheControl.sharedMaxAge().filter(Duration::isPositive).isPresent();
    }

    /**
     * Whether the request identifies the client. The response may then be for that client only without stating it, so heuristic
     * freshness does not count as permission to share it.
     */
    private boolean identifiesClient() {
        return request.hasAuthorization() || (request.hasCookieOrCredential() && !policy.coalesceWithCookies());
    }

    private boolean isReusable(FreshnessLifetime freshness) {
        return !directives.cacheControl().noCache() && freshness.duration.compareTo(initialAge()) > 0;
    }

    private Storability.Store store(FreshnessLifetime freshness) {
        List<String> tags = SurrogateTags.of(response, policy);
        HeaderFields storedFields = SurrogateTags.strip(Forwarding.endToEndResponseFields(response.fields()), policy)
                .without(name -> name.equalsIgnoreCase("Age") || name.equalsIgnoreCase("Content-Length"));
        // RFC 9110 section 6.6.1: a recipient with a clock adds a missing Date.
        HeaderFields fieldsWithDate = storedFields.has("Date")
                ? storedFields
                : storedFields.plus("Date", HttpDate.format(responseTime));
        return new Storability.Store(new ResponseHead(response.status(), fieldsWithDate), freshness(freshness), tags,
                freshness.explicit);
    }

    private Freshness freshness(FreshnessLifetime freshness) {
        CacheControl cacheControl = directives.cacheControl();
        boolean forbidden = cacheControl.mustRevalidate() || cacheControl.proxyRevalidate();
        boolean hasSharedMaxAge = cacheControl.sharedMaxAge().isPresent();
        boolean staleForbidden = cacheControl.noCache() || forbidden
                || (hasSharedMaxAge && !policy.allowStaleWithSharedMaxAge());
        boolean isError = response.status() >= 500;
        // With s-maxage, stale use must be stated by the response itself; the defaults of the route do not apply.
        Optional<Duration> routeWhileRevalidate = hasSharedMaxAge ? Optional.empty() : policy.staleWhileRevalidate();
        Optional<Duration> routeIfError = hasSharedMaxAge ? Optional.empty() : policy.staleIfError();
        Duration staleWhileRevalidate = staleForbidden
                ? Duration.ZERO
                : cacheControl.staleWhileRevalidate().or(() -> routeWhileRevalidate).orElse(Duration.ZERO);
        // A stored error never replaces another error.
        Duration staleIfError = staleForbidden || isError
                ? Duration.ZERO
                : cacheControl.staleIfError().or(() -> routeIfError).orElse(Duration.ZERO);
        Duration staleIfUnreachable = staleForbidden || isError || hasSharedMaxAge
                ? staleIfError
                : max(policy.staleIfUnreachable(), staleIfError);
        Duration age = initialAge();
        Duration remainingLifetime = cacheControl.noCache() || freshness.duration.compareTo(age) < 0
                ? Duration.ZERO
                : freshness.duration.minus(age);
        Duration revalidationWindow = Revalidation.isPossible(response)
                ? max(freshness.duration, MIN_REVALIDATION_WINDOW)
                : Duration.ZERO;
        Duration staleWindow = max(max(staleWhileRevalidate, staleIfUnreachable), revalidationWindow);
        Duration retention = min(max(remainingLifetime.plus(staleWindow), MIN_RETENTION), policy.maxTtl());
        return new Freshness(responseTime, age, freshness.duration, cacheControl.noCache(), staleForbidden,
                isExplicitlyShareable(),
                cacheControl.immutable(), staleWhileRevalidate, staleIfError, staleIfUnreachable, responseDelay(),
                retention);
    }

    /** RFC 9111 section 4.2.3: the Date is from the origin's clock, request and response time are from Corral's. */
    private Duration initialAge() {
        Duration apparentAge = Duration.between(dateValue(), responseTime);
        Duration correctedAge = ageValue().plus(responseDelay());
        return max(max(apparentAge, correctedAge), Duration.ZERO);
    }

    private Duration responseDelay() {
        return max(Duration.between(requestTime, responseTime), Duration.ZERO);
    }

    /** Section 5.1: the first member applies; an invalid number is ignored. */
    private Duration ageValue() {
        return response.fields()
                .firstValue("Age")
                .map(line -> FieldSyntax.trim(line.split(",", 2)[0]))
                .flatMap(CacheControl::parseDeltaSeconds)
                .orElse(Duration.ZERO);
    }

    private Instant dateValue() {
        return response.fields()
                .firstValue("Date")
                .flatMap(text -> HttpDate.parse(text, responseTime))
                .orElse(responseTime);
    }

    /** Section 4.2.1, then 4.2.2; empty if neither gives a lifetime. */
    private Optional<FreshnessLifetime> freshnessLifetime() {
        CacheControl cacheControl = directives.cacheControl();
        Optional<Duration> explicitLifetime = cacheControl.sharedMaxAge()
                .or(cacheControl::maxAge)
                .or(this::expiresLifetime);
        if (explicitLifetime.isPresent()) {
            return Optional.of(new FreshnessLifetime(explicitLifetime.get(), true));
        }
        if (!policy.heuristicFreshness() || (identifiesClient() && !isExplicitlyShareable())
                || !(cacheControl.isPublic() || isHeuristicallyCacheable(response.status()))) {
            return Optional.empty();
        }
        return response.fields()
                .firstValue("Last-Modified")
                .flatMap(text -> HttpDate.parse(text, responseTime))
                .map(modified -> Duration.between(modified, dateValue()).dividedBy(10))
                .filter(Duration::isPositive)
                .map(lifetime -> new FreshnessLifetime(min(lifetime, policy.maxHeuristicFreshness()), false));
    }

    /** Section 5.3: an invalid date, or two different dates, means expired. */
    private Optional<Duration> expiresLifetime() {
        List<String> lines = directives.fromTargetedField() ? List.of() : response.fields().values("Expires");
        if (lines.isEmpty()) {
            return Optional.empty();
        }
        boolean hasOneValue = lines.stream().distinct().count() == 1;
        Optional<Instant> expires = hasOneValue ? HttpDate.parse(lines.getFirst(), responseTime) : Optional.empty();
        return Optional.of(expires.map(date -> max(Duration.between(dateValue(), date), Duration.ZERO))
                .orElse(Duration.ZERO));
    }

    private static Duration max(Duration first, Duration second) {
        return first.compareTo(second) >= 0 ? first : second;
    }

    private static Duration min(Duration first, Duration second) {
        return first.compareTo(second) <= 0 ? first : second;
    }

    /** The heuristically cacheable status codes of RFC 9110 section 15.1, without 206. */
    private static boolean isHeuristicallyCacheable(int status) {
        return switch (status) {
            case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501 -> true;
            default -> false;
        };
    }

    /** The status codes that RFC 6585 forbids to store. */
    private static boolean isNeverStored(int status) {
        return status == 428 || status == 431 || status == 511;
    }

    /** The status codes of RFC 9110 section 15, whose caching requirements are implemented here. */
    private static boolean isUnderstoodStatus(int status) {
        return switch (status) {
            case 200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406,
                    407,
                    408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505 ->
                true;
            default -> false;
        };
    }

    private record FreshnessLifetime(Duration duration, boolean explicit) {
        static final FreshnessLifetime NONE = new FreshnessLifetime(Duration.ZERO, false);
    }

    /**
     * The directives that apply to this cache.
     *
     * @param fromTargetedField whether a targeted field contains them; {@code Expires} is then ignored
     */
    private record ResponseDirectives(CacheControl cacheControl, boolean fromTargetedField) {

        /** RFC 9213 section 2.2: the first targeted field that is present and valid, otherwise {@code Cache-Control}. */
        static ResponseDirectives of(HeaderFields fields, CachePolicy policy) {
            for (String name : policy.targetedFields()) {
                Optional<CacheControl> targeted = CacheControl.parseTargeted(fields.values(name));
                if (targeted.isPresent()) {
                    return new ResponseDirectives(targeted.get(), true);
                }
            }
            if (policy.surrogateControl() && fields.has("Surrogate-Control")) {
                // max-age may have a grace (3600+600), which is ignored: the stale windows come from the route.
                List<String> lines = fields.values("Surrogate-Control")
                        .stream()
                        .map(line -> line.replaceAll("(max-age=[0-9]+)\\+[0-9]+", "$1"))
                        .toList();
                return new ResponseDirectives(CacheControl.parse(lines), true);
            }
            return new ResponseDirectives(CacheControl.of(fields), false);
        }
    }
}
