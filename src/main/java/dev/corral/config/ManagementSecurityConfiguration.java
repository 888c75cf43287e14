package dev.corral.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.benmanes.caffeine.cache.Ticker;
import dev.corral.management.security.JwtAuthentication;
import dev.corral.management.security.LoginRateLimiter;
import dev.corral.management.security.ManagementRole;
import dev.corral.management.security.ManagementSecurityChain;
import dev.corral.management.security.PasswordAuthentication;
import dev.corral.management.security.SecurityProblemHandler;
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
final class ManagementSecurityConfiguration {

    private static final Logger log = LoggerFactory.getLogger(ManagementSecurityConfiguration.class);

    /** What a client may log in with: names and passwords, tokens, or both. */
    record ManagementAuthentication(Optional<PasswordAuthentication> passwords,
            Optional<JwtAuthentication> jwt) implements AutoCloseable {

        List<String> challenges() {
            var challenges = new ArrayList<String>();
            passwords.ifPresent(some -> challenges.add("Basic realm=\"Corral\", charset=\"UTF-8\""));
            jwt.ifPresent(some -> challenges.add("Bearer"));
            return challenges;
        }

        @Override
        public void close() {
            passwords.ifPresent(PasswordAuthentication::close);
        }
    }

    @Bean
    ManagementAuthentication managementAuthentication(CorralProperties settings,
            ObjectProvider<ReactiveJwtDecoder> decoder,
            ObjectProvider<OAuth2ResourceServerProperties> properties) {
        var guesses = new LoginRateLimiter(Ticker.systemTicker());
        CorralProperties.ManagementProperties management = settings.management();
        Optional<JwtAuthentication> tokens = decoder.stream()
                .findFirst()
                .map(found -> new JwtAuthentication(found, management.jwt().toJwtRoles(),
                        principalClaim(properties.getObject()), guesses));
        if (tokens.isPresent() && properties.getObject().getJwt().getAudiences().isEmpty()) {
            log.warn(
                    "spring.security.oauth2.resourceserver.jwt.audiences is not set: a token that the issuer has made for another "
                            + "service gets in at the management port too. Set it to the audience of this service.");
        }
        List<PasswordAuthentication.ManagementUser> logins = management.users().isEmpty() && tokens.isEmpty()
                ? List.of(generatedUser())
                : management.users().stream().map(CorralProperties.UserProperties::toManagementUser).toList();
        return new ManagementAuthentication(
                logins.isEmpty()
                        ? Optional.empty()
                        : Optional.of(new PasswordAuthentication(logins, guesses, Ticker.systemTicker())),
                tokens);
    }

    private static String principalClaim(OAuth2ResourceServerProperties properties) {
        return Optional.ofNullable(properties.getJwt().getPrincipalClaimName()).orElse(JwtClaimNames.SUB);
    }

    /** As Spring Boot does: better than open, better than a password that everybody knows. */
    private static PasswordAuthentication.ManagementUser generatedUser() {
        String password = UUID.randomUUID().toString();
        log.warn(
                "Nobody is named in corral.management.users: until this replica stops, its management port is for the user "
                        + "corral with the password {}",
                password);
        return new PasswordAuthentication.ManagementUser("corral", password, ManagementRole.OPERATOR);
    }

    @Bean
    SecurityProblemHandler securityProblemHandler(ObjectMapper json, ManagementAuthentication entrance) {
        return new SecurityProblemHandler(json, entrance.challenges());
    }

    @Bean
    SecurityWebFilterChain managementSecurityFilterChain(ServerHttpSecurity http, ManagementAuthentication entrance,
            SecurityProblemHandler refusals,
            CorralProperties settings) {
        return ManagementSecurityChain.chain(http, entrance.passwords(), entrance.jwt(), refusals,
                settings.management().prometheusOpen());
    }

    @Bean
    ServerWebExchangeFirewall managementFirewall() {
        return ManagementSecurityChain.firewall();
    }

    /** A timer for each filter would tell nobody anything. */
    @Bean
    SecurityObservationSettings securityObservationSettings() {
        return SecurityObservationSettings.noObservations();
    }
}
