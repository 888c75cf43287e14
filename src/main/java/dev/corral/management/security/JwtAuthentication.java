package dev.corral.management.security;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.springframework.core.convert.converter.Converter;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.authentication.ReactiveAuthenticationManager;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.JwtReactiveAuthenticationManager;
import org.springframework.security.oauth2.server.resource.authentication.ReactiveJwtAuthenticationConverter;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * Authenticates bearer tokens (RFC 6750): Spring's decoder checks signature, time, issuer and audience, a claim gives the role.
 * Thread-safe.
 */
public final class JwtAuthentication {

    /**
     * The mapping from a claim to a role.
     *
     * @param claim          the name of the claim, or a path with dots for a nested claim, such as {@code realm_access.roles}. Its
     *                       value is a list, or words separated by spaces
     * @param viewerValues   the values that give the role viewer
     * @param operatorValues the values that give the role operator
     */
    public record JwtRoles(String claim, Set<String> viewerValues, Set<String> operatorValues) {

        /** The role; empty when the claims give none. That is not an error: the user is authenticated but has no permission. */
        Optional<ManagementRole> roleFrom(Map<String, Object> claims) {
            List<String> values = claimValues(findClaim(claims, claim));
            if (values.stream().anyMatch(operatorValues::contains)) {
                return Optional.of(ManagementRole.OPERATOR);
            }
            return values.stream().anyMatch(viewerValues::contains)
                    ? Optional.of(ManagementRole.VIEWER)
                    : Optional.empty();
        }

        /** Tries the whole name first, because the name of a claim may be a URL with dots. */
        private static Optional<Object> findClaim(Map<?, ?> claims, String name) {
            Object whole = claims.get(name);
            int dot = name.indexOf('.');
            if (whole != null || dot < 0) {
                return Optional.ofNullable(whole);
            }
            return claims.get(name.substring(0, dot)) instanceof Map<?, ?> inner
                    ? findClaim(inner, name.substring(dot + 1))
                    : Optional.empty();
        }

        private static List<String> claimValues(Optional<Object> claim) {
            return claim.stream().flatMap(value -> switch (value) {
                case Collection<?> list -> list.stream().map(String::valueOf);
                case String text -> Stream.of(text.split(" ", -1));
                default -> Stream.empty();
            }).toList();
        }
    }

    /** Includes the time for fetching the issuer's keys. */
    private static final Duration DECODER_TIMEOUT = Duration.ofSeconds(10);

    private final JwtReactiveAuthenticationManager authenticationManager;
    private final LoginRateLimiter rateLimiter;

    /** @param nameClaim the claim with the user's name */
    public JwtAuthentication(ReactiveJwtDecoder decoder, JwtRoles roles, String nameClaim,
            LoginRateLimiter rateLimiter) {
        var converter = new ReactiveJwtAuthenticationConverter();
        converter.setPrincipalClaimName(nameClaim);
        Converter<Jwt, Flux<GrantedAuthority>> authorities = token -> Flux.fromStream(
                () -> roles.roleFrom(token.getClaims()).stream().flatMap(role -> role.authorities().stream()));
        converter.setJwtGrantedAuthoritiesConverter(authorities);
        this.authenticationManager = new JwtReactiveAuthenticationManager(decoder);
        this.authenticationManager.setJwtAuthenticationConverter(converter);
        this.rateLimiter = rateLimiter;
    }

    /**
     * Authenticates the tokens of one client. Errors: {@link OAuth2AuthenticationException},
     * {@link LoginRateLimiter.TooManyLoginAttemptsException}, and {@link AuthenticationServiceException} when the issuer's keys cannot be
     * fetched.
     *
     * @param client the client's key of {@link LoginRateLimiter#clientKey}
     */
    ReactiveAuthenticationManager forClient(String client) {
        return authentication -> Mono.defer(() -> {
            rateLimiter.checkAllowed(client);
            return authenticationManager.authenticate(authentication);
        })
                .timeout(DECODER_TIMEOUT)
                // The decoder passes on the errors of the HTTP client that fetches the keys.
                .onErrorMap(error -> !(error instanceof AuthenticationException),
                        error -> new AuthenticationServiceException("the issuer's keys cannot be fetched", error))
                .doOnError(OAuth2AuthenticationException.class, failure -> rateLimiter.recordFailure(client));
    }
}
