package dev.corral.config;

import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.boot.autoconfigure.ImportAutoConfiguration;
import org.springframework.boot.autoconfigure.security.oauth2.resource.reactive.ReactiveOAuth2ResourceServerAutoConfiguration;
import org.springframework.core.annotation.Order;

/**
 * Boot's decoder of tokens for the management port, there when {@code spring.security.oauth2.resourceserver.jwt.*} says how to
 * check them. After {@link ManagementSecurityConfiguration}, whose chain of filters takes the place of Boot's.
 */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
@ImportAutoConfiguration(ReactiveOAuth2ResourceServerAutoConfiguration.class)
@Order(1)
final class ManagementJwtConfiguration {}
