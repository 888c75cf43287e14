package dev.corral;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.ops.Doorkeeper;
import dev.corral.ops.Guesses;
import dev.corral.ops.Logins;
import dev.corral.ops.Refusals;
import dev.corral.ops.Role;
import dev.corral.ops.Tokens;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.boot.autoconfigure.security.oauth2.resource.OAuth2ResourceServerProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.security.config.annotation.web.reactive.EnableWebFluxSecurity;
import org.springframework.security.config.observation.SecurityObservationSettings;
import org.springframework.security.config.web.server.ServerHttpSecurity;
import org.springframework.security.oauth2.jwt.JwtClaimNames;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import org.springframework.security.web.server.SecurityWebFilterChain;
import org.springframework.security.web.server.firewall.ServerWebExchangeFirewall;

/**
 * Puts Spring Security before the management port, and before that port alone: this is part of its context, which is not the one
 * that answers clients. First of its kind, so that Boot sees the chain of filters and makes none of its own.
 */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
@EnableWebFluxSecurity
@Order(0)
final class ManagementSecurity {

    private static final Logger log = LoggerFactory.getLogger(ManagementSecurity.class);

    /** What a client may log in with: names and passwords, tokens, or both. */
    record Entrance(Optional<Logins> logins, Optional<Tokens> tokens) implements AutoCloseable {

        List<String> challenges() {
            var challenges = new ArrayList<String>();
            logins.ifPresent(some -> challenges.add("Basic realm=\"Corral\", charset=\"UTF-8\""));
            tokens.ifPresent(some -> challenges.add("Bearer"));
            return challenges;
        }

        @Override
        public void close() {
            logins.ifPresent(Logins::close);
        }
    }

    @Bean
    Entrance entrance(Settings settings, ObjectProvider<ReactiveJwtDecoder> decoder,
            ObjectProvider<OAuth2ResourceServerProperties> properties) {
        var guesses = new Guesses(Ticker.systemTicker());
        Settings.Management management = settings.management();
        Optional<Tokens> tokens = decoder.stream()
                .findFirst()
                .map(found -> new Tokens(found, management.jwt().claims(), principal(properties.getObject()), guesses));
        if (tokens.isPresent() && properties.getObject().getJwt().getAudiences().isEmpty()) {
            log.warn(
                    "spring.security.oauth2.resourceserver.jwt.audiences is not set: a token that the issuer has made for another "
                            + "service gets in at the management port too. Set it to the audience of this service.");
        }
        List<Logins.Login> logins = management.users().isEmpty() && tokens.isEmpty()
                ? List.of(anybody())
                : management.users().stream().map(Settings.User::login).toList();
        return new Entrance(
                logins.isEmpty() ? Optional.empty() : Optional.of(new Logins(logins, guesses, Ticker.systemTicker())),
                tokens);
    }

    private static String principal(OAuth2ResourceServerProperties properties) {
        return Optional.ofNullable(properties.getJwt().getPrincipalClaimName()).orElse(JwtClaimNames.SUB);
    }

    /** As Spring Boot does: better than open, better than a password that everybody knows. */
    private static Logins.Login anybody() {
        String password = UUID.randomUUID().toString();
        log.warn(
                "Nobody is named in corral.management.users: until this replica stops, its management port is for the user "
                        + "corral with the password {}",
                password);
        return new Logins.Login("corral", password, Role.OPERATOR);
    }

    @Bean
    Refusals refusals(ObjectMapper json, Entrance entrance) {
        return new Refusals(json, entrance.challenges());
    }

    @Bean
    SecurityWebFilterChain managementFilters(ServerHttpSecurity http, Entrance entrance, Refusals refusals,
            Settings settings) {
        return Doorkeeper.chain(http, entrance.logins(), entrance.tokens(), refusals,
                settings.management().prometheusOpen());
    }

    @Bean
    ServerWebExchangeFirewall managementFirewall() {
        return Doorkeeper.firewall();
    }

    /** A timer for each filter would tell nobody anything. */
    @Bean
    SecurityObservationSettings unobserved() {
        return SecurityObservationSettings.noObservations();
    }
}
