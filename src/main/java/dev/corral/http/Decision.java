package dev.corral.http;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** How {@link Storing} decides: what forbids (RFC 9111 section 3), how long it is fresh (4.2), and under which terms. */
final class Decision {

    /** Those who already wait are served from the entry: it must outlive the wait for the news of it. */
    private static final Duration SHORTEST_LIFE = Duration.ofSeconds(3);

    /** An answer with a validator is worth keeping for as long again as it was fresh, and at least for this long. */
    private static final Duration SHORTEST_TO_VALIDATE = Duration.ofMinutes(10);

    private final Asked asked;
    private final Head head;
    private final Policy policy;
    private final Instant requestTime;
    private final Instant responseTime;
    private final Directives directives;

    private Decision(Asked asked, Head head, Policy policy, Instant requestTime, Instant responseTime) {
        this.asked = asked;
        this.head = head;
        this.policy = policy;
        this.requestTime = requestTime;
        this.responseTime = responseTime;
        this.directives = Directives.of(head.fields(), policy);
    }

    static Storing of(Asked asked, Head head, Policy policy, Instant requestTime, Instant responseTime) {
        return new Decision(asked, head, policy, requestTime, responseTime).decide();
    }

    private Storing decide() {
        int status = head.status();
        if (status < 200) {
            return new Storing.Withhold("interim", false);
        }
        if (status == 206 || status == 304) {
            // A shared fetch asks for neither; section 3 demands that these are understood in relation to another answer.
            return new Storing.Withhold(status == 206 ? "partial" : "not-modified", false);
        }
        if (status == 429) {
            // RFC 6585 section 4: never stored. It says that the origin has had enough, so the waiters must not all go there.
            return new Storing.Fail("too-many-requests", false);
        }
        Optional<Freshness> freshness = freshness();
        Optional<String> forbidden = forbidden(freshness);
        if (status >= 500) {
            return forbidden.isEmpty() && freshness.isPresent() && usable(freshness.get())
                    ? share(freshness.get())
                    : new Storing.Fail("server-error", forbidden.isEmpty());
        }
        if (forbidden.isEmpty() && freshness.isEmpty() && !directives.cacheControl().isPublic()
                && !heuristicallyCacheable(status)) {
            // Section 3, the last condition.
            return new Storing.Withhold("status", true);
        }
        if (forbidden.isPresent()) {
            // What only the request is to blame for says nothing about the next one.
            boolean request = forbidden.get().equals("method") || forbidden.get().equals("request-no-store");
            return new Storing.Withhold(forbidden.get(), !request);
        }
        return share(freshness.orElse(Freshness.NONE));
    }

    private Optional<String> forbidden(Optional<Freshness> freshness) {
        CacheControl said = directives.cacheControl();
        if (asked.bypass().isPresent()) {
            return Optional.of("method");
        }
        if (policy.forbidsStoring(asked)) {
            return Optional.of("request-no-store");
        }
        if (said.mustUnderstand() ? !understood(head.status()) : said.noStore()) {
            // Section 5.2.2.3: must-understand overrules no-store, for those who understand the status code.
            return Optional.of(said.mustUnderstand() ? "not-understood" : "no-store");
        }
        if (neverStored(head.status())) {
            return Optional.of("status");
        }
        if (said.isPrivate()) {
            return Optional.of("private");
        }
        if (!policy.shareSetCookie() && head.fields().has("Set-Cookie")) {
            return Optional.of("set-cookie");
        }
        if (Variant.star(head)) {
            return Optional.of("vary-star");
        }
        if (Streams.declared(head)) {
            return Optional.of("stream");
        }
        boolean open = open();
        if (asked.authorized() && !open && !said.mustRevalidate()) {
            // Section 3.5.
            return Optional.of("authorization");
        }
        if (asked.cookied() && !policy.shareWithCookies() && !open && !freshness.map(this::usable).orElse(false)) {
            return Optional.of("cookie");
        }
        return Tags.bounded(head, policy).isEmpty() ? Optional.of("tags") : Optional.empty();
    }

    /** The origin said it is for anyone; not by an {@code s-maxage} that is zero or no number. */
    private boolean open() {
        CacheControl said = directives.cacheControl();
        return said.isPublic() || said.sharedMaxAge().filter(Duration::isPositive).isPresent();
    }

    /**
     * The request tells who the client is. A response to it may be for that client alone, without saying so: a guess at its
     * freshness does not count as permission to share it.
     */
    private boolean personal() {
        return asked.authorized() || (asked.cookied() && !policy.shareWithCookies());
    }

    private boolean usable(Freshness freshness) {
        return !directives.cacheControl().noCache() && freshness.lifetime.compareTo(initialAge()) > 0;
    }

    private Storing.Share share(Freshness freshness) {
        List<String> tags = Tags.of(head, policy);
        Fields kept = Tags.hidden(Forwarding.fromOrigin(head.fields()), policy)
                .without(name -> name.equalsIgnoreCase("Age") || name.equalsIgnoreCase("Content-Length"));
        // RFC 9110 section 6.6.1: a recipient with a clock adds a missing Date.
        Fields dated = kept.has("Date") ? kept : kept.plus("Date", HttpDate.format(responseTime));
        return new Storing.Share(new Head(head.status(), dated), terms(freshness), tags, freshness.explicit);
    }

    private Terms terms(Freshness freshness) {
        CacheControl said = directives.cacheControl();
        boolean forbidden = said.mustRevalidate() || said.proxyRevalidate();
        boolean implied = said.sharedMaxAge().isPresent();
        boolean never = said.noCache() || forbidden || (implied && !policy.staleWithSharedMaxAge());
        boolean failing = head.status() >= 500;
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
        Duration ifUnreachable = never || failing || implied ? ifError : longer(policy.staleIfUnreachable(), ifError);
        Duration age = initialAge();
        Duration fresh = said.noCache() || freshness.lifetime.compareTo(age) < 0
                ? Duration.ZERO
                : freshness.lifetime.minus(age);
        Duration toValidate = Validation.possible(head)
                ? longer(freshness.lifetime, SHORTEST_TO_VALIDATE)
                : Duration.ZERO;
        Duration window = longer(longer(whileRevalidate, ifUnreachable), toValidate);
        Duration life = shorter(longer(fresh.plus(window), SHORTEST_LIFE), policy.maxLife());
        return new Terms(responseTime, age, freshness.lifetime, said.noCache(), never, open(),
                said.immutable(), whileRevalidate, ifError, ifUnreachable, took(), life);
    }

    /** RFC 9111 section 4.2.3, with the date of the origin's clock and the times of ours. */
    private Duration initialAge() {
        Duration apparent = Duration.between(date(), responseTime);
        Duration corrected = ageValue().plus(took());
        return longer(longer(apparent, corrected), Duration.ZERO);
    }

    private Duration took() {
        return longer(Duration.between(requestTime, responseTime), Duration.ZERO);
    }

    /** Section 5.1: the first member counts; what is no number is ignored. */
    private Duration ageValue() {
        return head.fields()
                .first("Age")
                .map(line -> Syntax.trim(line.split(",", 2)[0]))
                .flatMap(CacheControl::deltaSeconds)
                .orElse(Duration.ZERO);
    }

    private Instant date() {
        return head.fields().first("Date").flatMap(text -> HttpDate.parse(text, responseTime)).orElse(responseTime);
    }

    /** Section 4.2.1, then 4.2.2; empty when nothing tells. */
    private Optional<Freshness> freshness() {
        CacheControl said = directives.cacheControl();
        Optional<Duration> stated = said.sharedMaxAge().or(said::maxAge).or(this::untilExpiry);
        if (stated.isPresent()) {
            return Optional.of(new Freshness(stated.get(), true));
        }
        if (!policy.heuristics() || (personal() && !open())
                || !(said.isPublic() || heuristicallyCacheable(head.status()))) {
            return Optional.empty();
        }
        return head.fields()
                .first("Last-Modified")
                .flatMap(text -> HttpDate.parse(text, responseTime))
                .map(modified -> Duration.between(modified, date()).dividedBy(10))
                .filter(Duration::isPositive)
                .map(tenth -> new Freshness(shorter(tenth, policy.heuristicCap()), false));
    }

    /** Section 5.3: an invalid date, or two different ones, is the past. */
    private Optional<Duration> untilExpiry() {
        List<String> lines = directives.targeted() ? List.of() : head.fields().all("Expires");
        if (lines.isEmpty()) {
            return Optional.empty();
        }
        boolean single = lines.stream().distinct().count() == 1;
        Optional<Instant> expires = single ? HttpDate.parse(lines.getFirst(), responseTime) : Optional.empty();
        return Optional.of(expires.map(end -> longer(Duration.between(date(), end), Duration.ZERO))
                .orElse(Duration.ZERO));
    }

    private static Duration longer(Duration one, Duration other) {
        return one.compareTo(other) >= 0 ? one : other;
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) <= 0 ? one : other;
    }

    /** RFC 9110 section 15.1, without 206. */
    private static boolean heuristicallyCacheable(int status) {
        return switch (status) {
            case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501 -> true;
            default -> false;
        };
    }

    /** RFC 6585: these are never stored. */
    private static boolean neverStored(int status) {
        return status == 428 || status == 431 || status == 511;
    }

    /** The status codes of RFC 9110 section 15, whose caching requirements are kept here. */
    private static boolean understood(int status) {
        return switch (status) {
            case 200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406,
                    407,
                    408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505 ->
                true;
            default -> false;
        };
    }

    private record Freshness(Duration lifetime, boolean explicit) {
        static final Freshness NONE = new Freshness(Duration.ZERO, false);
    }

    /** The directives that are for us, and whether they came by a targeted field, which rules out {@code Expires}. */
    private record Directives(CacheControl cacheControl, boolean targeted) {

        /** RFC 9213 section 2.2: the first targeted field that is there and valid; else {@code Cache-Control}. */
        static Directives of(Fields fields, Policy policy) {
            for (String name : policy.targetedFields()) {
                Optional<CacheControl> targeted = CacheControl.targeted(fields.all(name));
                if (targeted.isPresent()) {
                    return new Directives(targeted.get(), true);
                }
            }
            if (policy.surrogateControl() && fields.has("Surrogate-Control")) {
                // Its max-age may have a grace: 3600+600. The stale windows are the route's.
                List<String> lines = fields.all("Surrogate-Control")
                        .stream()
                        .map(line -> line.replaceAll("(max-age=[0-9]+)\\+[0-9]+", "$1"))
                        .toList();
                return new Directives(CacheControl.parse(lines), true);
            }
            return new Directives(CacheControl.of(fields), false);
        }
    }
}
