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
 * Applies Spring Security to the management port only: this configuration belongs to the management context, which does not serve
 * clients. Ordered first, so that Spring Boot finds the filter chain and creates none.
 */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
@EnableWebFluxSecurity
@Order(0)
final class ManagementSecurityConfiguration {

    private static final Logger log = LoggerFactory.getLogger(ManagementSecurityConfiguration.class);

    /** The accepted credentials: user names and passwords, tokens, or both. At least one is present. */
    record ManagementAuthentication(Optional<PasswordAuthentication> passwords,
            Optional<JwtAuthentication> jwt) implements AutoCloseable {

        List<String> challenges() {
            var challenges = new ArrayList<String>();
            passwords.ifPresent(enabled -> challenges.add("Basic realm=\"Corral\", charset=\"UTF-8\""));
            jwt.ifPresent(enabled -> challenges.add("Bearer"));
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
        var rateLimiter = new LoginRateLimiter(Ticker.systemTicker());
        CorralProperties.ManagementProperties management = settings.management();
        Optional<JwtAuthentication> jwt = decoder.stream()
                .findFirst()
                .map(found -> new JwtAuthentication(found, management.jwt().toJwtRoles(),
                        principalClaim(properties.getObject()), rateLimiter));
        if (jwt.isPresent() && properties.getObject().getJwt().getAudiences().isEmpty()) {
            log.warn(
                    "spring.security.oauth2.resourceserver.jwt.audiences is not set: tokens issued for other services are accepted "
                            + "at the management port. Set it to the audience of this service.");
        }
        List<PasswordAuthentication.ManagementUser> users = management.users().isEmpty() && jwt.isEmpty()
                ? List.of(generatedUser())
                : management.users().stream().map(CorralProperties.UserProperties::toManagementUser).toList();
        return new ManagementAuthentication(
                users.isEmpty()
                        ? Optional.empty()
                        : Optional.of(new PasswordAuthentication(users, rateLimiter, Ticker.systemTicker())),
                jwt);
    }

    private static String principalClaim(OAuth2ResourceServerProperties properties) {
        return Optional.ofNullable(properties.getJwt().getPrincipalClaimName()).orElse(JwtClaimNames.SUB);
    }

    /** As in Spring Boot: a random password is safer than no login and than a well-known password. */
    private static PasswordAuthentication.ManagementUser generatedUser() {
        String password = UUID.randomUUID().toString();
        log.warn(
                "No corral.management.users configured. Until this replica stops, user 'corral' has the generated password: {}",
                password);
        return new PasswordAuthentication.ManagementUser("corral", password, ManagementRole.OPERATOR);
    }

    @Bean
    SecurityProblemHandler securityProblemHandler(ObjectMapper json, ManagementAuthentication authentication) {
        return new SecurityProblemHandler(json, authentication.challenges());
    }

    @Bean
    SecurityWebFilterChain managementSecurityFilterChain(ServerHttpSecurity http,
            ManagementAuthentication authentication,
            SecurityProblemHandler problemHandler,
            CorralProperties settings) {
        return ManagementSecurityChain.chain(http, authentication.passwords(), authentication.jwt(), problemHandler,
                settings.management().prometheusOpen());
    }

    @Bean
    ServerWebExchangeFirewall managementFirewall() {
        return ManagementSecurityChain.firewall();
    }

    /** Without observations: a timer per security filter is of no use. */
    @Bean
    SecurityObservationSettings securityObservationSettings() {
        return SecurityObservationSettings.noObservations();
    }
}
