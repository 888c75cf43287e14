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

/** Who gets in at the management port, whatever the path, and what for. Nothing is kept between two requests. */
public final class ManagementSecurityChain {

    /** All of a page comes from here, and nothing in it is inline. */
    private static final String CONTENT_SECURITY_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            + "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

    /** Endpoints of Spring Boot that show more than a viewer may see (settings, memory, what others do), if they are exposed. */
    private static final String[] OPERATOR_ENDPOINTS = {"heapdump", "env", "configprops", "threaddump", "logfile",
            "httpexchanges",
            "auditevents", "sessions"};

    private ManagementSecurityChain() {}

    /**
     * The chain of filters before everything on the port.
     *
     * @param logins         empty: no names and passwords
     * @param tokens         empty: no tokens
     * @param prometheusOpen whether the metrics are for everybody, as health is
     */
    public static SecurityWebFilterChain chain(ServerHttpSecurity http, Optional<PasswordAuthentication> logins,
            Optional<JwtAuthentication> tokens, SecurityProblemHandler refusals, boolean prometheusOpen) {
        http.csrf(ServerHttpSecurity.CsrfSpec::disable)
                .formLogin(ServerHttpSecurity.FormLoginSpec::disable)
                .httpBasic(ServerHttpSecurity.HttpBasicSpec::disable)
                .logout(ServerHttpSecurity.LogoutSpec::disable)
                .requestCache(ServerHttpSecurity.RequestCacheSpec::disable)
                .headers(ManagementSecurityChain::configureHeaders)
                .exceptionHandling(
                        refused -> refused.authenticationEntryPoint(refusals).accessDeniedHandler(refusals))
                .authorizeExchange(paths -> authorize(paths, prometheusOpen));
        http.addFilterAt(new FetchMetadataCsrfFilter(refusals), SecurityWebFiltersOrder.CSRF);
        logins.ifPresent(basic -> http.addFilterAt(
                authenticationFilter(new ServerHttpBasicAuthenticationConverter(), basic::forClient, refusals),
                SecurityWebFiltersOrder.HTTP_BASIC));
        tokens.ifPresent(bearer -> http.addFilterAt(
                authenticationFilter(new ServerBearerTokenAuthenticationConverter(), bearer::forClient, refusals),
                SecurityWebFiltersOrder.AUTHENTICATION));
        return http.build();
    }

    /** The path of a PURGE is the name of something elsewhere, however it is spelt; all other requests are for something here. */
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

    private static ServerWebExchangeMatcher readsOf(ServerWebExchangeMatcher at) {
        return new AndServerWebExchangeMatcher(ManagementSecurityChain::matchRead, at);
    }

    private static Mono<MatchResult> matchRead(ServerWebExchange exchange) {
        HttpMethod method = exchange.getRequest().getMethod();
        return method.equals(HttpMethod.GET) || method.equals(HttpMethod.HEAD)
                ? MatchResult.match()
                : MatchResult.notMatch();
    }

    private static void configureHeaders(ServerHttpSecurity.HeaderSpec headers) {
        // Strict-Transport-Security is for a host with all its ports, and the clients' port may speak plain HTTP.
        headers.hsts(ServerHttpSecurity.HeaderSpec.HstsSpec::disable)
                .contentSecurityPolicy(policy -> policy.policyDirectives(CONTENT_SECURITY_POLICY))
                .referrerPolicy(policy -> policy.policy(ReferrerPolicy.NO_REFERRER));
    }

    /** Spring's filter, told where the request comes from. */
    private static AuthenticationWebFilter authenticationFilter(ServerAuthenticationConverter converter,
            Function<String, ReactiveAuthenticationManager> check, SecurityProblemHandler refusals) {
        var filter = new AuthenticationWebFilter((ServerWebExchange exchange) -> Mono
                .just(check.apply(LoginRateLimiter.clientKey(exchange.getRequest().getRemoteAddress()))));
        filter.setServerAuthenticationConverter(converter);
        filter.setAuthenticationFailureHandler(
                (failed, cause) -> refusals.commence(failed.getExchange(), cause));
        return filter;
    }
}
