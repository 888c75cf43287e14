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

/** How {@link Storability} decides: what forbids (RFC 9111 section 3), how long it is fresh (4.2), and under which terms. */
final class StorabilityRules {

    /** Those who already wait are served from the entry: it must outlive the wait for the news of it. */
    private static final Duration MIN_RETENTION = Duration.ofSeconds(3);

    /** An answer with a validator is worth keeping for as long again as it was fresh, and at least for this long. */
    private static final Duration MIN_REVALIDATION_WINDOW = Duration.ofMinutes(10);

    private final RequestHead request;
    private final ResponseHead response;
    private final CachePolicy policy;
    private final Instant requestTime;
    private final Instant responseTime;
    private final ResponseDirectives directives;

    private StorabilityRules(RequestHead asked, ResponseHead head, CachePolicy policy, Instant requestTime,
            Instant responseTime) {
        this.request = asked;
        this.response = head;
        this.policy = policy;
        this.requestTime = requestTime;
        this.responseTime = responseTime;
        this.directives = ResponseDirectives.of(head.fields(), policy);
    }

    static Storability evaluate(RequestHead asked, ResponseHead head, CachePolicy policy, Instant requestTime,
            Instant responseTime) {
        return new StorabilityRules(asked, head, policy, requestTime, responseTime).decide();
    }

    private Storability decide() {
        int status = response.status();
        if (status < 200) {
            return new Storability.DoNotStore("interim", false);
        }
        if (status == 206 || status == 304) {
            // A shared fetch asks for neither; section 3 demands that these are understood in relation to another answer.
            return new Storability.DoNotStore(status == 206 ? "partial" : "not-modified", false);
        }
        if (status == 429) {
            // RFC 6585 section 4: never stored. It says that the origin has had enough, so the waiters must not all go there.
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
            // Section 3, the last condition.
            return new Storability.DoNotStore("status", true);
        }
        if (forbidden.isPresent()) {
            // What only the request is to blame for says nothing about the next one.
            boolean request = forbidden.get().equals("method") || forbidden.get().equals("request-no-store");
            return new Storability.DoNotStore(forbidden.get(), !request);
        }
        return store(freshness.orElse(FreshnessLifetime.NONE));
    }

    private Optional<String> forbiddenReason(Optional<FreshnessLifetime> freshness) {
        CacheControl said = directives.cacheControl();
        if (request.bypassReason().isPresent()) {
            return Optional.of("method");
        }
        if (policy.forbidsStoring(request)) {
            return Optional.of("request-no-store");
        }
        if (said.mustUnderstand() ? !isUnderstoodStatus(response.status()) : said.noStore()) {
            // Section 5.2.2.3: must-understand overrules no-store, for those who understand the status code.
            return Optional.of(said.mustUnderstand() ? "not-understood" : "no-store");
        }
        if (isNeverStored(response.status())) {
            return Optional.of("status");
        }
        if (said.isPrivate()) {
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
        boolean open = isExplicitlyShareable();
        if (request.hasAuthorization() && !open && !said.mustRevalidate()) {
            // Section 3.5.
            return Optional.of("authorization");
        }
        if (request.hasCookieOrCredential() && !policy.coalesceWithCookies() && !open
                && !freshness.map(this::isReusable).orElse(false)) {
            return Optional.of("cookie");
        }
        return SurrogateTags.tryParse(response, policy).isEmpty() ? Optional.of("tags") : Optional.empty();
    }

    /** The origin said it is for anyone; not by an {@code s-maxage} that is zero or no number. */
    private boolean isExplicitlyShareable() {
        CacheControl said = directives.cacheControl();
        return said.isPublic() || said.sharedMaxAge().filter(Duration::isPositive).isPresent();
    }

    /**
     * The request tells who the client is. A response to it may be for that client alone, without saying so: a guess at its
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
        HeaderFields kept = SurrogateTags.strip(Forwarding.endToEndResponseFields(response.fields()), policy)
                .without(name -> name.equalsIgnoreCase("Age") || name.equalsIgnoreCase("Content-Length"));
        // RFC 9110 section 6.6.1: a recipient with a clock adds a missing Date.
        HeaderFields dated = kept.has("Date") ? kept : kept.plus("Date", HttpDate.format(responseTime));
        return new Storability.Store(new ResponseHead(response.status(), dated), freshness(freshness), tags,
                freshness.explicit);
    }

    private Freshness freshness(FreshnessLifetime freshness) {
        CacheControl said = directives.cacheControl();
        boolean forbidden = said.mustRevalidate() || said.proxyRevalidate();
        boolean implied = said.sharedMaxAge().isPresent();
        boolean never = said.noCache() || forbidden || (implied && !policy.allowStaleWithSharedMaxAge());
        boolean failing = response.status() >= 500;
        // Where s-maxage stands but is let pass, the answer itself must ask for it.
        Optional<Duration> routeWhileRevalidate = implied ? Optional.empty() : policy.staleWhileRevalidate();
        Optional<Duration> routeIfError = implied ? Optional.empty() : policy.staleIfError();
        Duration whileRevalidate = never
                ? Duration.ZERO
                : said.staleWhileRevalidate().or(() -> routeWhileRevalidate).orElse(Duration.ZERO);
        // A stored error never stands in for another one.
        Duration ifError = never || failing
                ? Duration.ZERO
                : said.staleIfError().or(() -> routeIfError).orElse(Duration.ZERO);
        Duration ifUnreachable = never || failing || implied ? ifError : max(policy.staleIfUnreachable(), ifError);
        Duration age = initialAge();
        Duration fresh = said.noCache() || freshness.duration.compareTo(age) < 0
                ? Duration.ZERO
                : freshness.duration.minus(age);
        Duration toValidate = Revalidation.isPossible(response)
                ? max(freshness.duration, MIN_REVALIDATION_WINDOW)
                : Duration.ZERO;
        Duration window = max(max(whileRevalidate, ifUnreachable), toValidate);
        Duration life = min(max(fresh.plus(window), MIN_RETENTION), policy.maxTtl());
        return new Freshness(responseTime, age, freshness.duration, said.noCache(), never, isExplicitlyShareable(),
                said.immutable(), whileRevalidate, ifError, ifUnreachable, responseDelay(), life);
    }

    /** RFC 9111 section 4.2.3, with the date of the origin's clock and the times of ours. */
    private Duration initialAge() {
        Duration apparent = Duration.between(dateValue(), responseTime);
        Duration corrected = ageValue().plus(responseDelay());
        return max(max(apparent, corrected), Duration.ZERO);
    }

    private Duration responseDelay() {
        return max(Duration.between(requestTime, responseTime), Duration.ZERO);
    }

    /** Section 5.1: the first member counts; what is no number is ignored. */
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

    /** Section 4.2.1, then 4.2.2; empty when nothing tells. */
    private Optional<FreshnessLifetime> freshnessLifetime() {
        CacheControl said = directives.cacheControl();
        Optional<Duration> stated = said.sharedMaxAge().or(said::maxAge).or(this::expiresLifetime);
        if (stated.isPresent()) {
            return Optional.of(new FreshnessLifetime(stated.get(), true));
        }
        if (!policy.heuristicFreshness() || (identifiesClient() && !isExplicitlyShareable())
                || !(said.isPublic() || isHeuristicallyCacheable(response.status()))) {
            return Optional.empty();
        }
        return response.fields()
                .firstValue("Last-Modified")
                .flatMap(text -> HttpDate.parse(text, responseTime))
                .map(modified -> Duration.between(modified, dateValue()).dividedBy(10))
                .filter(Duration::isPositive)
                .map(tenth -> new FreshnessLifetime(min(tenth, policy.maxHeuristicFreshness()), false));
    }

    /** Section 5.3: an invalid date, or two different ones, is the past. */
    private Optional<Duration> expiresLifetime() {
        List<String> lines = directives.fromTargetedField() ? List.of() : response.fields().values("Expires");
        if (lines.isEmpty()) {
            return Optional.empty();
        }
        boolean single = lines.stream().distinct().count() == 1;
        Optional<Instant> expires = single ? HttpDate.parse(lines.getFirst(), responseTime) : Optional.empty();
        return Optional.of(expires.map(end -> max(Duration.between(dateValue(), end), Duration.ZERO))
                .orElse(Duration.ZERO));
    }

    private static Duration max(Duration one, Duration other) {
        return one.compareTo(other) >= 0 ? one : other;
    }

    private static Duration min(Duration one, Duration other) {
        return one.compareTo(other) <= 0 ? one : other;
    }

    /** RFC 9110 section 15.1, without 206. */
    private static boolean isHeuristicallyCacheable(int status) {
        return switch (status) {
            case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501 -> true;
            default -> false;
        };
    }

    /** RFC 6585: these are never stored. */
    private static boolean isNeverStored(int status) {
        return status == 428 || status == 431 || status == 511;
    }

    /** The status codes of RFC 9110 section 15, whose caching requirements are kept here. */
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

    /** The directives that are for us, and whether they came by a targeted field, which rules out {@code Expires}. */
    private record ResponseDirectives(CacheControl cacheControl, boolean fromTargetedField) {

        /** RFC 9213 section 2.2: the first targeted field that is there and valid; else {@code Cache-Control}. */
        static ResponseDirectives of(HeaderFields fields, CachePolicy policy) {
            for (String name : policy.targetedFields()) {
                Optional<CacheControl> targeted = CacheControl.parseTargeted(fields.values(name));
                if (targeted.isPresent()) {
                    return new ResponseDirectives(targeted.get(), true);
                }
            }
            if (policy.surrogateControl() && fields.has("Surrogate-Control")) {
                // Its max-age may have a grace: 3600+600. The stale windows are the route's.
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
