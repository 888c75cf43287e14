package dev.corral.config;

import dev.corral.cache.CachePolicy;
import dev.corral.coalesce.CoalescerLimits;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.management.security.JwtAuthentication;
import dev.corral.management.security.ManagementRole;
import dev.corral.management.security.PasswordAuthentication;
import dev.corral.proxy.Route;
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
 * The settings {@code corral.*}. Redis, the server and the circuit breakers have Spring's own settings. An invalid value or an
 * unknown name stops the start with a message that names it.
 *
 * @param routes     which paths go to which origin; at least one, the first match wins
 * @param lease      the lease of a leader
 * @param replicaId  name of this replica in the fleet; random when empty
 * @param coalesce   false sends every miss to the origin, for comparison only
 * @param waiters    limits of requests that wait for another request's fetch
 * @param near       the near cache
 * @param management logins of the management port
 * @param accessLog  whether each request is logged
 * @param purge      time limits of purges
 * @param redis      names of the fleet's keys in Redis
 * @param shutdown   the graceful stop
 * @param warmUp     the warm-up before a replica is ready
 * @param server     limits of a client's connection
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

    /** Rejects an empty list of routes, duplicate IDs and inconsistent limits. */
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
        // Rejects inconsistent limits now, while the settings are bound.
        CoalescerLimits.of(lease.ttl(), waiters.effectiveMaxPerKey(), waiters.effectiveMaxPerReplica());
    }

    /** Short and plain enough for a channel name and a metric tag. */
    private static final Pattern NAME_PATTERN = Pattern.compile("[A-Za-z0-9._-]{1,40}");

    /**
     * One route.
     *
     * @param id                name of the route in metrics, logs and responses
     * @param path              a Spring PathPattern
     * @param origin            base URL: scheme, host, port, and a path that is prepended to the request's path
     * @param timeout           maximum time until the response begins, and between two reads of its body
     * @param maxBody           larger bodies are streamed and not stored
     * @param concurrency       maximum of simultaneous requests to the origin from this replica; more get 503
     * @param connectionMaxLife age after which a connection to the origin takes no further request, so that DNS changes are followed;
     *                          each connection's own limit is up to a quarter shorter
     * @param hitForMiss        how long requests for an uncacheable resource are not coalesced
     * @param host              the Host that the origin receives: {@code origin} (that of the base URL), {@code client}, or a literal.
     *                          With {@code client} the host is part of the cache key
     * @param query             which query parameters are part of the cache key
     * @param key               which request fields are part of the cache key
     * @param forward           which client fields are trusted, withheld or kept
     * @param requestHeaders    which client fields a shared fetch carries
     * @param cache             choices where the RFCs leave one
     * @param allowMethods      cache commands, such as PURGE, that this route forwards to the origin; they are rejected otherwise
     * @param ssl               keys and trusted certificates for an https origin
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

        /** Rejects missing and invalid values. */
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
                require(Route.isCacheAdminMethod(method), name + ".allow-methods",
                        "must be methods that are rejected by default: " + String.join(", ",
                                Route.CACHE_ADMIN_METHODS),
                        method);
            }
            requirePathPattern(name, path);
            cache.validate(name + ".cache");
        }

        /** A name or an address in brackets. Nothing that could end the Host field or start another. */
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
            } catch (PatternParseException e) {
                throw new IllegalArgumentException(
                        name + ".path (" + path + ") is not a path pattern: " + e.getMessage(), e);
            }
        }
    }

    /**
     * Which query parameters are part of the cache key. A shared fetch sends no others to the origin. A parameter is given as a name,
     * or as a prefix followed by {@code *}.
     *
     * @param include the parameters in the key; all when empty
     * @param exclude parameters that are not in the key
     * @param sort    whether parameters in any order are the same entry; the origin then gets them sorted by name
     */
    public record QueryProperties(@DefaultValue Set<String> include, @DefaultValue Set<String> exclude,
            @DefaultValue("false") boolean sort) {}

    /**
     * Additional parts of the cache key.
     *
     * @param fields request fields whose values are part of the key, such as one that contains a device class
     */
    public record CacheKeyProperties(@DefaultValue List<String> fields) {}

    /**
     * Which client fields are trusted, and which reach the origin on a shared fetch.
     *
     * @param trust whether Forwarded and X-Forwarded-* of the client are trusted; only behind a proxy that sets them
     * @param drop  additional fields that are not forwarded, besides those that origins are known to reflect or obey
     * @param keep  fields that are forwarded although origins are known to reflect or obey them: a response that depends on one of
     *              them is served to all clients
     */
    public record ForwardedHeaderProperties(@DefaultValue("false") boolean trust, @DefaultValue Set<String> drop,
            @DefaultValue Set<String> keep) {}

    /**
     * Which client fields a shared fetch carries.
     *
     * @param mode {@code forward}: all fields but those that origins are known to reflect or obey; {@code strict}: only standard
     *             fields, fields that {@code Vary} names, and fields that are in the key or in {@code forward.keep}
     */
    public record RequestHeaderProperties(@DefaultValue("forward") RequestHeaderPolicy.Mode mode) {}

    /**
     * Choices of a route where the RFCs leave one.
     *
     * @param maxLife                   maximum time that an entry is kept
     * @param heuristics                whether a response without stated freshness is fresh for 10 % of the time since Last-Modified
     * @param heuristicCap              maximum heuristic freshness
     * @param honourReload              whether the client's no-cache, no-store, max-age, min-fresh and Pragma are obeyed
     * @param shareSetCookie            whether responses with Set-Cookie are shared: a leaked session costs more than a fetch
     * @param shareWithCookies          whether responses without stated freshness are shared even if the request had a Cookie or
     *                                  another credential
     * @param targetedFields            the fields of RFC 9213 that apply to this cache; the first present one wins
     * @param surrogateControl          whether Surrogate-Control is obeyed too
     * @param staleWhileRevalidate      window for responses that state none; no window unless set
     * @param staleIfError              window for responses that state none; no window unless set
     * @param staleIfUnreachable        how long stale responses are served while the origin cannot be reached
     * @param staleWithSharedMaxAge     whether a response with s-maxage may be served stale if it states a stale window itself
     * @param earlyRefresh              beta of XFetch: probability of a refresh before expiry; off unless set, 1 is usual
     * @param normaliseAcceptEncoding   whether equivalent Accept-Encoding values share a variant
     * @param normaliseAcceptLanguage   whether equivalent Accept-Language values share a variant
     * @param variants                  maximum variants of a resource that a replica stores within ten minutes
     * @param tagFields                 response fields that contain the origin's tags
     * @param hideTags                  whether these fields are removed from responses to clients
     * @param invalidateOnUnsafeMethods whether a successful POST, PUT, DELETE and the like invalidates its targets
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
            // Purges are kept for 25 hours. An entry that lived longer could outlive the purge that removed it.
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

        private static void requireBetween(String setting, Duration value, Duration min, Duration max) {
            require(value.compareTo(min) >= 0 && value.compareTo(max) <= 0, setting,
                    "must be from " + min.toSeconds() + "s to " + max.toHours() + "h", value.toString());
        }

        /** Converts the settings to the policy of the cache rules. */
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
     * @param bundle name of one of Spring's SSL bundles (spring.ssl.bundle.*); the JDK's trust store when not set
     */
    public record OriginSslProperties(@Nullable String bundle) {}

    /**
     * Logins of the management port. With neither users nor tokens there is one user {@code corral} with a random password.
     *
     * @param users          users with a password (HTTP Basic)
     * @param jwt            roles of bearer tokens, which are accepted if spring.security.oauth2.resourceserver.jwt.* is set
     * @param prometheusOpen whether the metrics are readable without a login, as health is
     */
    public record ManagementProperties(@DefaultValue List<UserProperties> users, @DefaultValue JwtProperties jwt,
            @DefaultValue("true") boolean prometheusOpen) {

        /** Rejects duplicate user names. */
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
     * @param password plain text, or {@code {bcrypt}$2a$..}; plain text that starts with a brace needs the prefix {@code {noop}}
     * @param role     a viewer may read, an operator may also change
     */
    public record UserProperties(String name, String password, @DefaultValue("viewer") ManagementRole role) {

        private static final Pattern BCRYPT_PATTERN = Pattern
                .compile("\\{bcrypt}\\$2[aby]?\\$\\d\\d\\$[./0-9A-Za-z]{53}");

        /** Rejects unusable credentials. Messages never contain a password. */
        public UserProperties {
            require(name != null && !name.isBlank() && name.indexOf(':') < 0, "corral.management.users[n].name",
                    "must be a name without a colon", name == null ? "not set" : name);
            String setting = "corral.management.users[" + name + "].password";
            require(password != null && !password.isEmpty() && !password.equals("{noop}"), setting, "must not be empty",
                    "not set");
            require(!password.startsWith("{bcrypt}") || BCRYPT_PATTERN.matcher(password).matches(), setting,
                    "must be {bcrypt} and a complete hash of 60 characters; a shell or a .env file may have expanded its "
                            + "$ signs",
                    "not shown");
            require(!password.startsWith("{") || password.startsWith("{bcrypt}") || password.startsWith("{noop}"),
                    setting, "must begin with {bcrypt} or {noop} if it begins with a brace", "not shown");
        }

        /** Converts the setting for the management port. */
        PasswordAuthentication.ManagementUser toManagementUser() {
            return new PasswordAuthentication.ManagementUser(name, password, role);
        }

        /** Omits the password. */
        @Override
        public String toString() {
            return name + " (" + role + ")";
        }
    }

    /**
     * How the role of a bearer token is found.
     *
     * @param rolesClaim the claim with the roles or scopes, a list or words separated by spaces; dots separate nested claims
     * @param viewer     values that make a viewer
     * @param operator   values that make an operator
     */
    public record JwtProperties(@DefaultValue("roles") String rolesClaim, @DefaultValue("viewer") Set<String> viewer,
            @DefaultValue("operator") Set<String> operator) {

        /** Rejects a blank claim name. */
        public JwtProperties {
            require(!rolesClaim.isBlank(), "corral.management.jwt.roles-claim", "must be the name of a claim",
                    rolesClaim);
        }

        /** Converts the setting for the management port. */
        JwtAuthentication.JwtRoles toJwtRoles() {
            return new JwtAuthentication.JwtRoles(rolesClaim, viewer, operator);
        }
    }

    /**
     * The lease of a leader.
     *
     * @param ttl how long a leader may fail to renew before another replica takes over
     */
    public record LeaseProperties(@DefaultValue("2s") Duration ttl) {}

    /**
     * Maximum of requests that wait for another request's fetch; more get 503. A waiting request occupies some kilobytes.
     *
     * @param perKey     for one key in this replica; by default 10,000, or {@code perReplica} if that is less
     * @param perReplica for all keys in this replica; by default as many as fit in a tenth of the heap, at most 20,000
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
     * @param size maximum size; a tenth of the heap when not set
     */
    public record NearCacheProperties(@Nullable DataSize size) {

        /** Rejects a negative size. */
        public NearCacheProperties {
            require(size == null || !size.isNegative(), "corral.near.size",
                    "must be 0 or more; 0 disables the near cache", String.valueOf(size));
        }
    }

    /**
     * Time limits of purges.
     *
     * @param timeout          maximum time that a purge waits for acknowledgements
     * @param invalidationWait maximum time that the response to an unsafe request waits until the replicas have its invalidation; 0
     *                         does not wait
     * @param maxIsolation     how long a replica that is cut off from Redis serves stored responses without asking the origin
     */
    public record PurgeProperties(@DefaultValue("2s") Duration timeout,
            @DefaultValue("250ms") Duration invalidationWait,
            @DefaultValue("30s") Duration maxIsolation) {

        /** Rejects values out of range. */
        public PurgeProperties {
            require(timeout.compareTo(Duration.ofMillis(10)) >= 0 && timeout.compareTo(Duration.ofMinutes(1)) <= 0,
                    "corral.purge.timeout", "must be from 10ms to 1m", timeout.toString());
            require(!invalidationWait.isNegative() && invalidationWait.compareTo(Duration.ofSeconds(10)) <= 0,
                    "corral.purge.invalidation-wait", "must be from 0 to 10s", invalidationWait.toString());
            // The purge log is read twice a second: one late read must not count as isolation.
            require(maxIsolation.compareTo(Duration.ofSeconds(2)) >= 0
                    && maxIsolation.compareTo(Duration.ofHours(24)) <= 0, "corral.purge.max-isolation",
                    "must be from 2s to 24h", maxIsolation.toString());
        }
    }

    /**
     * Additions to Spring's Redis settings.
     *
     * @param keyPrefix start of the name of each key and channel; fleets that share a Redis need different prefixes
     */
    public record RedisKeyProperties(@DefaultValue(RedisKeys.DEFAULT_PREFIX) String keyPrefix) {

        /** Rejects a prefix that is invalid in a key or that could be mistaken for another fleet's. */
        public RedisKeyProperties {
            require(RedisKeys.isValidPrefix(keyPrefix), "corral.redis.key-prefix",
                    "must be 1 to 64 letters, digits, '.', '_', '-' or ':', and must not end in ':' and a number",
                    keyPrefix);
        }
    }

    /**
     * The graceful stop.
     *
     * @param drain how long a replica continues to serve after SIGTERM, not ready and with {@code Connection: close} on each response;
     *              zero stops at once. Must be longer than load balancers take to notice: HAProxy as shipped 2 s, the chart's
     *              readiness probe 6 s
     */
    public record ShutdownProperties(@DefaultValue("7s") Duration drain) {

        /** Rejects values out of range. */
        public ShutdownProperties {
            require(!drain.isNegative() && drain.compareTo(Duration.ofMinutes(5)) <= 0, "corral.shutdown.drain",
                    "must be from 0 to 5m", drain.toString());
        }
    }

    /**
     * The warm-up: requests that a replica sends to itself before it is ready.
     *
     * @param enabled whether there is a warm-up; without it a replica is ready at once
     * @param max     maximum duration; the warm-up ends earlier when responses no longer get faster
     */
    public record WarmUpProperties(@DefaultValue("true") boolean enabled, @DefaultValue("5s") Duration max) {

        /** Rejects values out of range. */
        public WarmUpProperties {
            require(max.compareTo(Duration.ofMillis(100)) >= 0 && max.compareTo(Duration.ofMinutes(1)) <= 0,
                    "corral.warm-up.max", "must be from 100ms to 1m", max.toString());
        }
    }

    /**
     * Limits of one connection, on both ports. The idle timeout is Spring's {@code server.netty.idle-timeout}.
     *
     * @param headTimeout  maximum time from the first to the last byte of a request head
     * @param bodyTimeout  maximum time in which a request body that is being read brings less than 1 KB
     * @param writeTimeout maximum time in which a client reads nothing of a response
     * @param maxPipelined maximum of requests that are read and not yet answered
     */
    public record ServerLimitProperties(@DefaultValue("60s") Duration headTimeout,
            @DefaultValue("60s") Duration bodyTimeout,
            @DefaultValue("60s") Duration writeTimeout, @DefaultValue("32") int maxPipelined) {

        /** Rejects limits that would affect every client, and limits without effect. */
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

        /** Converts the settings for the connection guards. */
        ConnectionLimits toConnectionLimits() {
            return new ConnectionLimits(headTimeout, bodyTimeout, writeTimeout, maxPipelined);
        }
    }

    private static void require(boolean valid, String setting, String requirement, String value) {
        if (!valid) {
            throw new IllegalArgumentException(setting + " (" + value + ") " + requirement);
        }
    }
}
