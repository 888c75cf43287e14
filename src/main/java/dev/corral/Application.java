package dev.corral;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.actuate.autoconfigure.security.reactive.ReactiveManagementWebSecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.security.oauth2.resource.reactive.ReactiveOAuth2ResourceServerAutoConfiguration;
import org.springframework.boot.autoconfigure.security.reactive.ReactiveSecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.security.reactive.ReactiveUserDetailsServiceAutoConfiguration;
import org.springframework.context.annotation.Import;

/**
 * Starts one replica of Corral. What is excluded would put Spring Security before the clients' port too: it stands before the
 * management port only ({@link ManagementSecurity}).
 */
@SpringBootConfiguration
@EnableAutoConfiguration(exclude = {ReactiveSecurityAutoConfiguration.class,
        ReactiveUserDetailsServiceAutoConfiguration.class, ReactiveManagementWebSecurityAutoConfiguration.class,
        ReactiveOAuth2ResourceServerAutoConfiguration.class})
@Import(Wiring.class)
public final class Application {

    private Application() {}

    /** Starts the replica; a bad setting stops the start. */
    public static void main(String[] args) {
        SpringApplication.run(Application.class, args);
    }
}
