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

/** Checks bearer tokens (RFC 6750): signature, time, issuer and audience by Spring's decoder, the role by a claim. Thread-safe. */
public final class JwtAuthentication {

    /**
     * Which claim says who may do what.
     *
     * @param claim          its name, or names joined by dots for one within another, such as {@code realm_access.roles}. Its value is a
     *                 list, or words with spaces between
     * @param viewerValues   values that make a viewer
     * @param operatorValues values that make an operator
     */
    public record JwtRoles(String claim, Set<String> viewerValues, Set<String> operatorValues) {

        /** Empty when the claims name no role, which is no error: somebody known who may do nothing. */
        Optional<ManagementRole> roleFrom(Map<String, Object> claims) {
            List<String> values = claimValues(findClaim(claims, claim));
            if (values.stream().anyMatch(operatorValues::contains)) {
                return Optional.of(ManagementRole.OPERATOR);
            }
            return values.stream().anyMatch(viewerValues::contains)
                    ? Optional.of(ManagementRole.VIEWER)
                    : Optional.empty();
        }

        /** The whole name first: a claim's name may be a URL, with dots in it. */
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
                case Collection<?> several -> several.stream().map(String::valueOf);
                case String words -> Stream.of(words.split(" ", -1));
                default -> Stream.empty();
            }).toList();
        }
    }

    /** The issuer's keys may have to be fetched first. */
    private static final Duration DECODER_TIMEOUT = Duration.ofSeconds(10);

    private final JwtReactiveAuthenticationManager authenticationManager;
    private final LoginRateLimiter rateLimiter;

    /** @param principal the claim with the name of who it is */
    public JwtAuthentication(ReactiveJwtDecoder decoder, JwtRoles claims, String principal, LoginRateLimiter guesses) {
        var converter = new ReactiveJwtAuthenticationConverter();
        converter.setPrincipalClaimName(principal);
        Converter<Jwt, Flux<GrantedAuthority>> authorities = token -> Flux.fromStream(
                () -> claims.roleFrom(token.getClaims()).stream().flatMap(role -> role.authorities().stream()));
        converter.setJwtGrantedAuthoritiesConverter(authorities);
        this.authenticationManager = new JwtReactiveAuthenticationManager(decoder);
        this.authenticationManager.setJwtAuthenticationConverter(converter);
        this.rateLimiter = guesses;
    }

    /**
     * Checks what a client sends. Errors: {@link OAuth2AuthenticationException}, {@link LoginRateLimiter.TooManyLoginAttemptsException}, and
     * {@link AuthenticationServiceException} when the issuer's keys cannot be had.
     */
    ReactiveAuthenticationManager forClient(String client) {
        return asked -> Mono.defer(() -> {
            rateLimiter.checkAllowed(client);
            return authenticationManager.authenticate(asked);
        })
                .timeout(DECODER_TIMEOUT)
                // The decoder hands on what its client for the keys has met.
                .onErrorMap(error -> !(error instanceof AuthenticationException),
                        error -> new AuthenticationServiceException("no keys", error))
                .doOnError(OAuth2AuthenticationException.class, refused -> rateLimiter.recordFailure(client));
    }
}
