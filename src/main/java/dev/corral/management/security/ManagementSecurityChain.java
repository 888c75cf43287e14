package dev.corral.management.security;

import java.util.Optional;
import java.util.function.Function;
import org.springframework.boot.actuate.autoconfigure.security.reactive.EndpointRequest;
import org.springframework.boot.actuate.health.HealthEndpoint;
import org.springframework.boot.actuate.metrics.export.prometheus.PrometheusScrapeEndpoint;
import org.springframework.http.HttpMethod;
import org.springframework.security.authentication.ReactiveAuthenticationManager;
import org.springframework.security.config.web.server.SecurityWebFiltersOrder;
import org.springframework.security.config.web.server.ServerHttpSecurity;
import org.springframework.security.config.web.server.ServerHttpSecurity.AuthorizeExchangeSpec;
import org.springframework.security.oauth2.server.resource.web.server.authentication.ServerBearerTokenAuthenticationConverter;
import org.springframework.security.web.server.SecurityWebFilterChain;
import org.springframework.security.web.server.authentication.AuthenticationWebFilter;
import org.springframework.security.web.server.authentication.ServerAuthenticationConverter;
import org.springframework.security.web.server.authentication.ServerHttpBasicAuthenticationConverter;
import org.springframework.security.web.server.firewall.ServerWebExchangeFirewall;
import org.springframework.security.web.server.firewall.StrictServerWebExchangeFirewall;
import org.springframework.security.web.server.header.ReferrerPolicyServerHttpHeadersWriter.ReferrerPolicy;
import org.springframework.security.web.server.util.matcher.AndServerWebExchangeMatcher;
import org.springframework.security.web.server.util.matcher.ServerWebExchangeMatcher;
import org.springframework.security.web.server.util.matcher.ServerWebExchangeMatcher.MatchResult;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/** The security filters of the management port, for all paths. Stateless: there are no sessions. */
public final class ManagementSecurityChain {

    /** Pages load everything from this port and contain no inline scripts or styles. */
    private static final String CONTENT_SECURITY_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            + "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

    /** Endpoints of Spring Boot that, if exposed, show more than a viewer may see: settings, memory, other users' requests. */
    private static final String[] OPERATOR_ENDPOINTS = {"heapdump", "env", "configprops", "threaddump", "logfile",
            "httpexchanges",
            "auditevents", "sessions"};

    private ManagementSecurityChain() {}

    /**
     * The filter chain for all requests to the port.
     *
     * @param passwords      checks names and passwords; empty when they are not accepted
     * @param tokens         checks bearer tokens; empty when they are not accepted
     * @param problemHandler writes the error responses
     * @param prometheusOpen whether the metrics are readable without a login, as health is
     */
    public static SecurityWebFilterChain chain(ServerHttpSecurity http, Optional<PasswordAuthentication> passwords,
            Optional<JwtAuthentication> tokens, SecurityProblemHandler problemHandler, boolean prometheusOpen) {
        http.csrf(ServerHttpSecurity.CsrfSpec::disable)
                .formLogin(ServerHttpSecurity.FormLoginSpec::disable)
                .httpBasic(ServerHttpSecurity.HttpBasicSpec::disable)
                .logout(ServerHttpSecurity.LogoutSpec::disable)
                .requestCache(ServerHttpSecurity.RequestCacheSpec::disable)
                .headers(ManagementSecurityChain::configureHeaders)
                .exceptionHandling(
                        handling -> handling.authenticationEntryPoint(problemHandler)
                                .accessDeniedHandler(problemHandler))
                .authorizeExchange(paths -> authorize(paths, prometheusOpen));
        http.addFilterAt(new FetchMetadataCsrfFilter(problemHandler), SecurityWebFiltersOrder.CSRF);
        passwords.ifPresent(basic -> http.addFilterAt(
                authenticationFilter(new ServerHttpBasicAuthenticationConverter(), basic::forClient, problemHandler),
                SecurityWebFiltersOrder.HTTP_BASIC));
        tokens.ifPresent(bearer -> http.addFilterAt(
                authenticationFilter(new ServerBearerTokenAuthenticationConverter(), bearer::forClient, problemHandler),
                SecurityWebFiltersOrder.AUTHENTICATION));
        return http.build();
    }

    /** Checks the paths of all requests but PURGE, whose path names a cached URL and may have any form. */
    public static ServerWebExchangeFirewall firewall() {
        var strict = new StrictServerWebExchangeFirewall();
        return exchange -> exchange.getRequest().getMethod().name().equals("PURGE")
                ? Mono.just(exchange)
                : strict.getFirewalledExchange(exchange);
    }

    private static void authorize(AuthorizeExchangeSpec paths, boolean prometheusOpen) {
        paths.matchers(readsOf(EndpointRequest.to(HealthEndpoint.class))).permitAll();
        if (prometheusOpen) {
            paths.matchers(readsOf(EndpointRequest.to(PrometheusScrapeEndpoint.class))).permitAll();
        }
        paths.matchers(EndpointRequest.to(OPERATOR_ENDPOINTS)).hasRole(ManagementRole.OPERATOR.name());
        paths.matchers(ManagementSecurityChain::matchRead)
                .hasRole(ManagementRole.VIEWER.name())
                .anyExchange()
                .hasRole(ManagementRole.OPERATOR.name());
    }

    private static ServerWebExchangeMatcher readsOf(ServerWebExchangeMatcher paths) {
        return new AndServerWebExchangeMatcher(ManagementSecurityChain::matchRead, paths);
    }

    private static Mono<MatchResult> matchRead(ServerWebExchange exchange) {
        HttpMethod method = exchange.getRequest().getMethod();
        return method.equals(HttpMethod.GET) || method.equals(HttpMethod.HEAD)
                ? MatchResult.match()
                : MatchResult.notMatch();
    }

    private static void configureHeaders(ServerHttpSecurity.HeaderSpec headers) {
        // Strict-Transport-Security applies to all ports of a host, and the data port may use plain HTTP.
        headers.hsts(ServerHttpSecurity.HeaderSpec.HstsSpec::disable)
                .contentSecurityPolicy(policy -> policy.policyDirectives(CONTENT_SECURITY_POLICY))
                .referrerPolicy(policy -> policy.policy(ReferrerPolicy.NO_REFERRER));
    }

    /** Spring's authentication filter with an authentication manager for the client's address. */
    private static AuthenticationWebFilter authenticationFilter(ServerAuthenticationConverter converter,
            Function<String, ReactiveAuthenticationManager> managerForClient, SecurityProblemHandler problemHandler) {
        var filter = new AuthenticationWebFilter((ServerWebExchange exchange) -> Mono
                .just(managerForClient.apply(LoginRateLimiter.clientKey(exchange.getRequest().getRemoteAddress()))));
        filter.setServerAuthenticationConverter(converter);
        filter.setAuthenticationFailureHandler(
                (filterExchange, cause) -> problemHandler.commence(filterExchange.getExchange(), cause));
        return filter;
    }
}
