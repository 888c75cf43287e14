package dev.corral.ops;

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
public final class Tokens {

    /**
     * Which claim says who may do what.
     *
     * @param claim    its name, or names joined by dots for one within another, such as {@code realm_access.roles}. Its value is a
     *                 list, or words with spaces between
     * @param viewer   values that make a viewer
     * @param operator values that make an operator
     */
    public record Claims(String claim, Set<String> viewer, Set<String> operator) {

        /** Empty when the claims name no role, which is no error: somebody known who may do nothing. */
        Optional<Role> role(Map<String, Object> claims) {
            List<String> values = values(find(claims, claim));
            if (values.stream().anyMatch(operator::contains)) {
                return Optional.of(Role.OPERATOR);
            }
            return values.stream().anyMatch(viewer::contains) ? Optional.of(Role.VIEWER) : Optional.empty();
        }

        /** The whole name first: a claim's name may be a URL, with dots in it. */
        private static Optional<Object> find(Map<?, ?> claims, String name) {
            Object whole = claims.get(name);
            int dot = name.indexOf('.');
            if (whole != null || dot < 0) {
                return Optional.ofNullable(whole);
            }
            return claims.get(name.substring(0, dot)) instanceof Map<?, ?> inner
                    ? find(inner, name.substring(dot + 1))
                    : Optional.empty();
        }

        private static List<String> values(Optional<Object> claim) {
            return claim.stream().flatMap(value -> switch (value) {
                case Collection<?> several -> several.stream().map(String::valueOf);
                case String words -> Stream.of(words.split(" ", -1));
                default -> Stream.empty();
            }).toList();
        }
    }

    /** The issuer's keys may have to be fetched first. */
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private final JwtReactiveAuthenticationManager tokens;
    private final Guesses guesses;

    /** @param principal the claim with the name of who it is */
    public Tokens(ReactiveJwtDecoder decoder, Claims claims, String principal, Guesses guesses) {
        var converter = new ReactiveJwtAuthenticationConverter();
        converter.setPrincipalClaimName(principal);
        Converter<Jwt, Flux<GrantedAuthority>> authorities = token -> Flux.fromStream(
                () -> claims.role(token.getClaims()).stream().flatMap(role -> role.authorities().stream()));
        converter.setJwtGrantedAuthoritiesConverter(authorities);
        this.tokens = new JwtReactiveAuthenticationManager(decoder);
        this.tokens.setJwtAuthenticationConverter(converter);
        this.guesses = guesses;
    }

    /**
     * Checks what a client sends. Errors: {@link OAuth2AuthenticationException}, {@link Guesses.TooMany}, and
     * {@link AuthenticationServiceException} when the issuer's keys cannot be had.
     */
    ReactiveAuthenticationManager of(String client) {
        return asked -> Mono.defer(() -> {
            guesses.check(client);
            return tokens.authenticate(asked);
        })
                .timeout(PATIENCE)
                // The decoder hands on what its client for the keys has met.
                .onErrorMap(error -> !(error instanceof AuthenticationException),
                        error -> new AuthenticationServiceException("no keys", error))
                .doOnError(OAuth2AuthenticationException.class, refused -> guesses.failed(client));
    }
}
