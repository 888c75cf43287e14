package dev.corral.config;

import dev.corral.cache.CachePolicy;
import dev.corral.coalesce.CoalescerLimits;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.management.security.JwtAuthentication;
import dev.corral.management.security.ManagementRole;
import dev.corral.management.security.PasswordAuthentication;
import dev.corral.proxy.netty.ConnectionLimits;
import dev.corral.redis.RedisKeys;
import java.net.URI;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;
import org.springframework.web.util.pattern.PathPatternParser;
import org.springframework.web.util.pattern.PatternParseException;

/**
 * All settings of Corral itself; those of Redis, the server and the circuit breakers are Spring's own. A value that makes no
 * sense, or a name that is not here, stops the start with a message that names it.
 *
 * @param routes    which paths go to which origin; at least one, the first that matches wins
 * @param lease     the right to fill a key
 * @param replicaId names this replica in the fleet; random when empty
 * @param coalesce  false lets every miss go to the origin, for comparison only
 * @param waiters   how many requests may wait for somebody else's fetch
 * @param near      the memory in this process
 * @param management who may log in to the management port
 * @param accessLog a line for each request
 * @param purge     what operators remove
 * @param redis     where the fleet keeps its state
 * @param shutdown  how the process ends
 * @param warmUp    what happens before a replica is ready
 * @param server    what one connection of a client may cost
 */
@ConfigurationProperties(prefix = "corral", ignoreUnknownFields = false)
public record CorralProperties(@DefaultValue List<RouteProperties> routes, @DefaultValue LeaseProperties lease,
        @DefaultValue("") String replicaId,
        @DefaultValue("true") boolean coalesce, @DefaultValue WaiterLimits waiters,
        @DefaultValue NearCacheProperties near,
        @DefaultValue ManagementProperties management, @DefaultValue("false") boolean accessLog,
        @DefaultValue PurgeProperties purge,
        @DefaultValue RedisKeyProperties redis, @DefaultValue ShutdownProperties shutdown,
        @DefaultValue WarmUpProperties warmUp,
        @DefaultValue ServerLimitProperties server) {

    /** Rejects a start that could serve nothing. */
    public CorralProperties {
        if (routes.isEmpty()) {
            throw new IllegalArgumentException("corral.routes is empty: there is nothing to serve. Set at least "
                    + "corral.routes[0].id (a name, such as shop) and corral.routes[0].origin (a base URL, such as "
                    + "http://shop.internal:8080); corral.routes[0].path is /** unless set");
        }
        var ids = new HashSet<String>();
        for (RouteProperties route : routes) {
            if (!ids.add(route.id())) {
                throw new IllegalArgumentException(
                        "corral.routes has the id " + route.id() + " twice: each route needs its own");
            }
        }
        require(replicaId.isEmpty() || NAME_PATTERN.matcher(replicaId).matches(), "corral.replica-id",
                "must be 1 to 40 letters, digits, '.', '_' or '-', and unique in the fleet", replicaId);
        // Checked here, where the settings have their names.
        CoalescerLimits.of(lease.ttl(), waiters.effectiveMaxPerKey(), waiters.effectiveMaxPerReplica());
    }

    /** Short enough for a channel name and a metric tag. */
    private static final Pattern NAME_PATTERN = Pattern.compile("[A-Za-z0-9._-]{1,40}");

    /**
     * One route.
     *
     * @param id          names it in metrics, logs and answers
     * @param path        a Spring PathPattern
     * @param origin      where its requests go: scheme, host, port, and a path put before the request's own
     * @param timeout     the most an origin may take for a whole answer; for a streamed one, between two reads
     * @param maxBody     a larger answer is passed through, not stored
     * @param concurrency requests to the origin at the same time, from this replica; more are refused with 503
     * @param connectionMaxLife the age beyond which a connection to the origin takes no further request, so that a name that has
     *                    moved is followed; each connection's own is up to a quarter shorter
     * @param hitForMiss  how long to remember that a resource must not be waited for
     * @param host        the Host the origin sees: {@code origin} (that of the base URL), {@code client}, or a literal. With
     *                    {@code client} the host is part of the cache key
     * @param query       which query parameters are part of the cache key
     * @param key         what else is part of it
     * @param forward     which of the client's fields the origin sees
     * @param requestHeaders what a fetch whose response is shared carries of them
     * @param cache       what the route chooses where the RFCs leave a choice
     * @param allowMethods methods that caches take as orders, such as PURGE, and that reach the origin here although they do not
     *                    elsewhere
     * @param ssl         keys and trusted certificates for an https origin
     */
    public record RouteProperties(String id, @DefaultValue("/**") String path, URI origin,
            @DefaultValue("5s") Duration timeout,
            @DefaultValue("2MB") DataSize maxBody, @DefaultValue("200") int concurrency,
            @DefaultValue("60s") Duration connectionMaxLife, @DefaultValue("2m") Duration hitForMiss,
            @DefaultValue("origin") String host, @DefaultValue QueryProperties query,
            @DefaultValue CacheKeyProperties key, @DefaultValue ForwardedHeaderProperties forward,
            @DefaultValue RequestHeaderProperties requestHeaders,
            @DefaultValue CachePolicyProperties cache, @DefaultValue Set<String> allowMethods,
            @DefaultValue OriginSslProperties ssl) {

        /** Rejects what cannot work. */
        public RouteProperties {
            require(id != null, "corral.routes[n].id", "must be set to 1 to 40 letters, digits, '.', '_' or '-'",
                    "not set");
            require(NAME_PATTERN.matcher(id).matches(), "corral.routes[n].id",
                    "must be 1 to 40 letters, digits, '.', '_' or '-'", id);
            String name = "corral.routes[" + id + "]";
            require(origin != null, name + ".origin", "must be set to a base URL such as http://shop.internal:8080",
                    "not set");
            require(("http".equals(origin.getScheme()) || "https".equals(origin.getScheme()))
                    && origin.getHost() != null,
                    name + ".origin", "must be an http or https URL with a host", origin.toString());
            require(origin.getRawUserInfo() == null && origin.getRawQuery() == null && origin.getRawFragment() == null,
                    name + ".origin", "must have no user, query or fragment",
                    origin.getScheme() + "://" + origin.getHost());
            require(origin.getPort() != 0 && origin.getPort() <= 65_535, name + ".origin",
                    "must have a port from 1 to 65535, or none", origin.toString());
            require(timeout.compareTo(Duration.ofMillis(1)) >= 0 && timeout.compareTo(Duration.ofMinutes(10)) <= 0,
                    name + ".timeout", "must be from 1ms to 10m", timeout.toString());
            require(maxBody.toBytes() >= 0 && maxBody.toBytes() <= DataSize.ofMegabytes(256).toBytes(),
                    name + ".max-body",
                    "must be from 0 to 256MB: it is held in memory", maxBody.toString());
            require(concurrency >= 1 && concurrency <= 10_000, name + ".concurrency", "must be from 1 to 10000",
                    String.valueOf(concurrency));
            require(connectionMaxLife.compareTo(Duration.ofSeconds(1)) >= 0
                    && connectionMaxLife.compareTo(Duration.ofDays(1)) <= 0, name + ".connection-max-life",
                    "must be from 1s to 1d", connectionMaxLife.toString());
            require(hitForMiss.compareTo(Duration.ofSeconds(1)) >= 0 && hitForMiss.compareTo(Duration.ofDays(1)) <= 0,
                    name + ".hit-for-miss", "must be from 1s to 1d", hitForMiss.toString());
            require(HOST_PATTERN.matcher(host).matches(), name + ".host",
                    "must be origin, client, or a host name, with or without a port", host);
            for (String parameter : query.include()) {
                requireParameterName(name + ".query.include", parameter);
            }
            for (String parameter : query.exclude()) {
                requireParameterName(name + ".query.exclude", parameter);
            }
            require(ssl.bundle() == null || "https".equals(origin.getScheme()), name + ".ssl.bundle",
                    "needs an origin that begins with https://", String.valueOf(ssl.bundle()));
            for (String method : allowMethods) {
                require(dev.corral.proxy.Route.isCacheAdminMethod(method), name + ".allow-methods",
                        "must be methods that are refused elsewhere: " + String.join(", ",
                                dev.corral.proxy.Route.CACHE_ADMIN_METHODS),
                        method);
            }
            requirePathPattern(name, path);
            cache.validate(name + ".cache");
        }

        /** A name or an address in brackets; nothing that could end the Host field or begin something else. */
        private static final Pattern HOST_PATTERN = Pattern
                .compile("([A-Za-z0-9._~-]+|\\[[0-9A-Fa-f:.]+])(:[0-9]{1,5})?");

        private static void requireParameterName(String setting, String parameter) {
            int star = parameter.indexOf('*');
            require(!parameter.isBlank() && (star < 0 || star == parameter.length() - 1), setting,
                    "must be the name of a parameter, or a prefix with * at its end", parameter);
        }

        private static void requirePathPattern(String name, String path) {
            try {
                require(path.startsWith("/"), name + ".path", "must begin with /", path);
                PathPatternParser.defaultInstance.parse(path);
            } catch (PatternParseException broken) {
                throw new IllegalArgumentException(
                        name + ".path (" + path + ") is not a path pattern: " + broken.getMessage(),
                        broken);
            }
        }
    }

    /**
     * Which query parameters are part of the cache key; all unless set. The origin does not see the others on a fetch whose
     * response is shared.
     *
     * @param include only these; all when empty. A name, or a prefix with {@code *} at its end
     * @param exclude not these
     * @param sort    their order does not make another entry; the origin gets them sorted by name
     */
    public record QueryProperties(@DefaultValue Set<String> include, @DefaultValue Set<String> exclude,
            @DefaultValue("false") boolean sort) {}

    /**
     * What else is part of the cache key.
     *
     * @param fields request fields whose values make another resource, such as one that names a device class
     */
    public record CacheKeyProperties(@DefaultValue List<String> fields) {}

    /**
     * Which of the client's fields reach the origin on a fetch whose answer is shared.
     *
     * @param trust whether what the client says in Forwarded and X-Forwarded-* is true: only behind a proxy that sets them
     * @param drop  fields not to forward, besides those that origins are known to reflect or obey
     * @param keep  fields to forward although origins are known to reflect or obey them: an answer that depends on one of them
     *              is given to everybody
     */
    public record ForwardedHeaderProperties(@DefaultValue("false") boolean trust, @DefaultValue Set<String> drop,
            @DefaultValue Set<String> keep) {}

    /**
     * What a fetch whose response is shared carries of the client's header fields.
     *
     * @param mode {@code forward}: all but the known ones; {@code strict}: only the standard ones, what {@code Vary} names, and
     *             what is part of the key or kept
     */
    public record RequestHeaderProperties(@DefaultValue("forward") RequestHeaderPolicy.Mode mode) {}

    /**
     * What a route chooses where the RFCs leave a choice.
     *
     * @param maxLife                 the longest anything is kept
     * @param heuristics              an answer without stated freshness is fresh for 10 % of the time since Last-Modified
     * @param heuristicCap            the most that gives
     * @param honourReload            a client's no-cache, no-store, max-age, min-fresh and Pragma count
     * @param shareSetCookie          answers with Set-Cookie are given to others: a leaked session costs more than a fetch
     * @param shareWithCookies        responses that state no freshness are shared even if a Cookie or another credential was sent
     * @param targetedFields          fields of RFC 9213 that are for this cache; the first that is there wins
     * @param surrogateControl        Surrogate-Control counts too
     * @param staleWhileRevalidate    when the origin says nothing; none unless set
     * @param staleIfError            when the origin says nothing; none unless set
     * @param staleIfUnreachable      how long stale is served while the origin cannot be reached
     * @param staleWithSharedMaxAge   s-maxage alone does not forbid the stale use that the same answer asks for
     * @param variants                of one resource, that a replica stores in ten minutes
     * @param earlyRefresh            beta of XFetch: refresh before expiry, with a probability; off unless set, 1 is usual
     * @param normaliseAcceptEncoding equivalent Accept-Encoding share a variant
     * @param normaliseAcceptLanguage equivalent Accept-Language share a variant
     * @param tagFields               fields that carry the origin's tags
     * @param hideTags                they do not reach clients
     * @param invalidateOnUnsafeMethods a successful POST, PUT, DELETE or the like removes what it names
     */
    public record CachePolicyProperties(@DefaultValue("24h") Duration maxLife, @DefaultValue("true") boolean heuristics,
            @DefaultValue("24h") Duration heuristicCap, @DefaultValue("true") boolean honourReload,
            @DefaultValue("false") boolean shareSetCookie, @DefaultValue("false") boolean shareWithCookies,
            @DefaultValue("CDN-Cache-Control") List<String> targetedFields,
            @DefaultValue("false") boolean surrogateControl, @Nullable Duration staleWhileRevalidate,
            @Nullable Duration staleIfError, @DefaultValue("10m") Duration staleIfUnreachable,
            @DefaultValue("false") boolean staleWithSharedMaxAge, @Nullable Double earlyRefresh,
            @DefaultValue("true") boolean normaliseAcceptEncoding,
            @DefaultValue("true") boolean normaliseAcceptLanguage, @DefaultValue("100") int variants,
            @DefaultValue( {
                    "Cache-Tag", "Surrogate-Key"}) List<String> tagFields,
            @DefaultValue("true") boolean hideTags, @DefaultValue("true") boolean invalidateOnUnsafeMethods){

        private void validate(String name) {
            // Purges are remembered for a day and an hour: what lived longer could outlive the purge that removed it.
            requireBetween(name + ".max-life", maxLife, Duration.ofSeconds(1), Duration.ofHours(24));
            requireBetween(name + ".heuristic-cap", heuristicCap, Duration.ZERO, Duration.ofHours(24));
            requireBetween(name + ".stale-if-unreachable", staleIfUnreachable, Duration.ZERO, Duration.ofHours(24));
            if (staleWhileRevalidate != null) {
                requireBetween(name + ".stale-while-revalidate", staleWhileRevalidate, Duration.ZERO,
                        Duration.ofHours(24));
            }
            if (staleIfError != null) {
                requireBetween(name + ".stale-if-error", staleIfError, Duration.ZERO, Duration.ofHours(24));
            }
            require(earlyRefresh == null || (earlyRefresh >= 0 && earlyRefresh <= 100), name + ".early-refresh",
                    "must be from 0 to 100; 1 is usual", String.valueOf(earlyRefresh));
            require(variants >= 1 && variants <= 10_000, name + ".variants", "must be from 1 to 10000",
                    Integer.toString(variants));
        }

        private static void requireBetween(String setting, Duration value, Duration least, Duration most) {
            require(value.compareTo(least) >= 0 && value.compareTo(most) <= 0, setting,
                    "must be from " + least.toSeconds() + "s to " + most.toHours() + "h", value.toString());
        }

        /** These choices as the rules take them. */
        CachePolicy toCachePolicy(Duration hitForMiss) {
            CachePolicy.Builder policy = CachePolicy.builder()
                    .hitForMissTtl(hitForMiss)
                    .maxTtl(maxLife)
                    .heuristicFreshness(heuristics)
                    .maxHeuristicFreshness(heuristicCap)
                    .honorClientDirectives(honourReload)
                    .storeSetCookie(shareSetCookie)
                    .coalesceWithCookies(shareWithCookies)
                    .targetedFields(targetedFields)
                    .surrogateControl(surrogateControl)
                    .staleIfUnreachable(staleIfUnreachable)
                    .allowStaleWithSharedMaxAge(staleWithSharedMaxAge)
                    .normalizeAcceptEncoding(normaliseAcceptEncoding)
                    .normalizeAcceptLanguage(normaliseAcceptLanguage)
                    .maxVariants(variants)
                    .tagFields(tagFields)
                    .stripTags(hideTags)
                    .invalidateOnUnsafeMethods(invalidateOnUnsafeMethods);
            if (staleWhileRevalidate != null) {
                policy.staleWhileRevalidate(staleWhileRevalidate);
            }
            if (staleIfError != null) {
                policy.staleIfError(staleIfError);
            }
            if (earlyRefresh != null) {
                policy.earlyRefreshBeta(earlyRefresh);
            }
            return policy.build();
        }
    }

    /**
     * Keys and trusted certificates for an https origin.
     *
     * @param bundle the name of one of Spring's SSL bundles (spring.ssl.bundle.*); the JDK's trust when not set
     */
    public record OriginSslProperties(@Nullable String bundle) {}

    /**
     * Who may log in to the management port. With neither users nor tokens, one user {@code corral} with a random password.
     *
     * @param users          by name and password (HTTP Basic)
     * @param jwt            by bearer token, once spring.security.oauth2.resourceserver.jwt.* says how to check it
     * @param prometheusOpen whether the metrics are readable without a login, as health is
     */
    public record ManagementProperties(@DefaultValue List<UserProperties> users, @DefaultValue JwtProperties jwt,
            @DefaultValue("true") boolean prometheusOpen) {

        /** Rejects two users of one name. */
        public ManagementProperties {
            var names = new HashSet<String>();
            for (UserProperties user : users) {
                require(names.add(user.name()), "corral.management.users", "has two users of that name", user.name());
            }
        }
    }

    /**
     * A user of the management port.
     *
     * @param name     without a colon
     * @param password in clear, or as {@code {bcrypt}$2a$..}, or after {@code {noop}} when it begins with a brace
     * @param role     viewer may look, operator may also change
     */
    public record UserProperties(String name, String password, @DefaultValue("viewer") ManagementRole role) {

        private static final Pattern BCRYPT_PATTERN = Pattern
                .compile("\\{bcrypt}\\$2[aby]?\\$\\d\\d\\$[./0-9A-Za-z]{53}");

        /** Rejects what nobody could log in with; never repeats a password. */
        public UserProperties {
            require(name != null && !name.isBlank() && name.indexOf(':') < 0, "corral.management.users[n].name",
                    "must be a name without a colon", name == null ? "not set" : name);
            String setting = "corral.management.users[" + name + "].password";
            require(password != null && !password.isEmpty() && !password.equals("{noop}"), setting, "must not be empty",
                    "not set");
            require(!password.startsWith("{bcrypt}") || BCRYPT_PATTERN.matcher(password).matches(), setting,
                    "must be {bcrypt} and a whole hash of 60 characters: a shell, or a .env file, may have taken its $ for "
                            + "its own",
                    "not shown");
            require(!password.startsWith("{") || password.startsWith("{bcrypt}") || password.startsWith("{noop}"),
                    setting, "must begin with {bcrypt} or {noop}, or with something else than a brace", "not shown");
        }

        /** As the management port takes it. */
        PasswordAuthentication.ManagementUser toManagementUser() {
            return new PasswordAuthentication.ManagementUser(name, password, role);
        }

        /** Without the password. */
        @Override
        public String toString() {
            return name + " (" + role + ")";
        }
    }

    /**
     * What a token says about its bearer.
     *
     * @param rolesClaim the claim with roles or scopes, a list or words; with dots, one within another
     * @param viewer     values of it that make a viewer
     * @param operator   values of it that make an operator
     */
    public record JwtProperties(@DefaultValue("roles") String rolesClaim, @DefaultValue("viewer") Set<String> viewer,
            @DefaultValue("operator") Set<String> operator) {

        /** Rejects a claim without a name. */
        public JwtProperties {
            require(!rolesClaim.isBlank(), "corral.management.jwt.roles-claim", "must be the name of a claim",
                    rolesClaim);
        }

        /** As the management port takes it. */
        JwtAuthentication.JwtRoles toJwtRoles() {
            return new JwtAuthentication.JwtRoles(rolesClaim, viewer, operator);
        }
    }

    /**
     * The right to fill a key.
     *
     * @param ttl how long a leader may be silent before another replica takes over
     */
    public record LeaseProperties(@DefaultValue("2s") Duration ttl) {}

    /**
     * How many requests may wait for somebody else's fetch; more are refused with 503. A waiting request costs some kilobytes.
     *
     * @param perKey     of one key in this replica; 10,000 unless set, and no more than of all keys
     * @param perReplica of all keys in this replica; what a tenth of the heap is enough for unless set, 20,000 at most
     */
    public record WaiterLimits(@Nullable Integer perKey, @Nullable Integer perReplica) {

        private static final int DEFAULT_MAX_PER_KEY = 10_000;

        int effectiveMaxPerReplica() {
            return perReplica != null
                    ? perReplica
                    : Math.max(effectiveMaxPerKey(), MemoryShares.ofThisJvm().maxWaiters());
        }

        int effectiveMaxPerKey() {
            return perKey != null
                    ? perKey
                    : perReplica != null
                            ? DEFAULT_MAX_PER_KEY
                            : Math.min(DEFAULT_MAX_PER_KEY, MemoryShares.ofThisJvm().maxWaiters());
        }
    }

    /**
     * The near cache.
     *
     * @param size its limit; a tenth of the heap when not set
     */
    public record NearCacheProperties(@Nullable DataSize size) {

        /** Rejects a limit below nothing. */
        public NearCacheProperties {
            require(size == null || !size.isNegative(), "corral.near.size",
                    "must be 0 or more; with 0 nothing is kept in this process", String.valueOf(size));
        }
    }

    /**
     * Purges.
     *
     * @param timeout          how long a purge that waits for the replicas waits at most
     * @param invalidationWait how long the response to a request that has changed something waits at most until the replicas know;
     *                         0 does not wait for them
     * @param maxIsolation     how long a replica that is cut off from Redis serves what it has without asking the origin
     */
    public record PurgeProperties(@DefaultValue("2s") Duration timeout,
            @DefaultValue("250ms") Duration invalidationWait,
            @DefaultValue("30s") Duration maxIsolation) {

        /** Rejects no wait, and one longer than any client's patience. */
        public PurgeProperties {
            require(timeout.compareTo(Duration.ofMillis(10)) >= 0 && timeout.compareTo(Duration.ofMinutes(1)) <= 0,
                    "corral.purge.timeout", "must be from 10ms to 1m", timeout.toString());
            require(!invalidationWait.isNegative() && invalidationWait.compareTo(Duration.ofSeconds(10)) <= 0,
                    "corral.purge.invalidation-wait", "must be from 0 to 10s", invalidationWait.toString());
            // Redis is read twice a second: one late read is no isolation.
            require(maxIsolation.compareTo(Duration.ofSeconds(2)) >= 0
                    && maxIsolation.compareTo(Duration.ofHours(24)) <= 0, "corral.purge.max-isolation",
                    "must be from 2s to 24h", maxIsolation.toString());
        }
    }

    /**
     * What Corral adds to Spring's settings of Redis.
     *
     * @param keyPrefix the start of the name of each key and channel; fleets that share a Redis each have their own
     */
    public record RedisKeyProperties(@DefaultValue(RedisKeys.DEFAULT_PREFIX) String keyPrefix) {

        /** Rejects a prefix that could not be the start of a key, or that could be taken for another fleet's. */
        public RedisKeyProperties {
            require(RedisKeys.isValidPrefix(keyPrefix), "corral.redis.key-prefix",
                    "must be 1 to 64 letters, digits, '.', '_', '-' or ':', and must not end in ':' and a number",
                    keyPrefix);
        }
    }

    /**
     * How the process ends.
     *
     * @param drain how long a replica that was told to stop goes on serving, not ready, with {@code Connection: close} on each
     *              response; zero: not at all. Longer than a load balancer takes to notice: HAProxy as shipped takes 2 s, the
     *              chart's readiness probe 6 s
     */
    public record ShutdownProperties(@DefaultValue("7s") Duration drain) {

        /** Rejects less than nothing, and more than anybody waits for a process to end. */
        public ShutdownProperties {
            require(!drain.isNegative() && drain.compareTo(Duration.ofMinutes(5)) <= 0, "corral.shutdown.drain",
                    "must be from 0 to 5m", drain.toString());
        }
    }

    /**
     * Requests that a replica sends to itself before it is ready.
     *
     * @param enabled false: ready at once
     * @param max     how long at most; less when responses no longer get faster
     */
    public record WarmUpProperties(@DefaultValue("true") boolean enabled, @DefaultValue("5s") Duration max) {

        /** Rejects no time at all, and more than an orchestrator waits for a start. */
        public WarmUpProperties {
            require(max.compareTo(Duration.ofMillis(100)) >= 0 && max.compareTo(Duration.ofMinutes(1)) <= 0,
                    "corral.warm-up.max", "must be from 100ms to 1m", max.toString());
        }
    }

    /**
     * What one connection may cost, at both ports. How long it may idle is Spring's {@code server.netty.idle-timeout}.
     *
     * @param headTimeout  how long the head of a request may take
     * @param bodyTimeout  how long a request's body may bring next to nothing while it is read
     * @param writeTimeout how long a client may read nothing of a response
     * @param maxPipelined requests that are read and not yet answered
     */
    public record ServerLimitProperties(@DefaultValue("60s") Duration headTimeout,
            @DefaultValue("60s") Duration bodyTimeout,
            @DefaultValue("60s") Duration writeTimeout, @DefaultValue("32") int maxPipelined) {

        /** Rejects limits that would hit every client, and those that would be none. */
        public ServerLimitProperties {
            requireTimeLimit("head-timeout", headTimeout);
            requireTimeLimit("body-timeout", bodyTimeout);
            requireTimeLimit("write-timeout", writeTimeout);
            require(maxPipelined >= 1 && maxPipelined <= 64, "corral.server.max-pipelined", "must be from 1 to 64",
                    Integer.toString(maxPipelined));
        }

        private static void requireTimeLimit(String name, Duration limit) {
            require(limit.compareTo(Duration.ofMillis(100)) >= 0 && limit.compareTo(Duration.ofHours(1)) <= 0,
                    "corral.server." + name, "must be from 100ms to 1h", limit.toString());
        }

        /** As the ports take them. */
        ConnectionLimits toConnectionLimits() {
            return new ConnectionLimits(headTimeout, bodyTimeout, writeTimeout, maxPipelined);
        }
    }

    private static void require(boolean holds, String setting, String what, String value) {
        if (!holds) {
            throw new IllegalArgumentException(setting + " (" + value + ") " + what);
        }
    }
}
