package dev.corral.config;

import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.boot.autoconfigure.ImportAutoConfiguration;
import org.springframework.boot.autoconfigure.security.oauth2.resource.reactive.ReactiveOAuth2ResourceServerAutoConfiguration;
import org.springframework.core.annotation.Order;

/**
 * Spring Boot's JWT decoder for the management port, present when {@code spring.security.oauth2.resourceserver.jwt.*} is set.
 * Ordered after {@link ManagementSecurityConfiguration}, whose filter chain replaces Spring Boot's.
 */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
@ImportAutoConfiguration(ReactiveOAuth2ResourceServerAutoConfiguration.class)
@Order(1)
final class ManagementJwtConfiguration {}
