package dev.corral;

import dev.corral.config.CorralConfiguration;
import java.security.Security;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.actuate.autoconfigure.security.reactive.ReactiveManagementWebSecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.security.oauth2.resource.reactive.ReactiveOAuth2ResourceServerAutoConfiguration;
import org.springframework.boot.autoconfigure.security.reactive.ReactiveSecurityAutoConfiguration;
import org.springframework.boot.autoconfigure.security.reactive.ReactiveUserDetailsServiceAutoConfiguration;
import org.springframework.context.annotation.Import;
import reactor.netty.ReactorNetty;

/**
 * Starts one replica of Corral. The excluded auto-configurations would also apply Spring Security to the data port; it guards the
 * management port only ({@code ManagementSecurityConfiguration}).
 */
@SpringBootConfiguration
@EnableAutoConfiguration(exclude = {ReactiveSecurityAutoConfiguration.class,
        ReactiveUserDetailsServiceAutoConfiguration.class, ReactiveManagementWebSecurityAutoConfiguration.class,
        ReactiveOAuth2ResourceServerAutoConfiguration.class})
@Import(CorralConfiguration.class)
public final class CorralApplication {

    static {
        // Buffers of a streamed response that are requested ahead of the client. A buffer is one read, up to 64 KB: 256 KB for each
        // client that reads slowly or not at all, instead of 8 MB with Reactor Netty's default of 128.
        String prefetchProperty = ReactorNetty.REACTOR_NETTY_SEND_MAX_PREFETCH_SIZE;
        System.setProperty(prefetchProperty, System.getProperty(prefetchProperty, "4"));
        // DNS cache of the JDK, in seconds. The default of 30 is long for a Redis that has moved; java.security and the command line
        // take precedence.
        setDnsCacheTtl("networkaddress.cache.ttl", "sun.net.inetaddr.ttl", "5");
        setDnsCacheTtl("networkaddress.cache.negative.ttl", "sun.net.inetaddr.negative.ttl", "1");
    }

    private CorralApplication() {}

    private static void setDnsCacheTtl(String setting, String property, String seconds) {
        boolean negative = setting.contains("negative");
        // The java.security file of the JDK sets the negative TTL to 10, so its presence there is no choice of the operator.
        if (System.getProperty(property) == null && (negative || Security.getProperty(setting) == null)) {
            Security.setProperty(setting, seconds);
        }
    }

    /** Starts the replica. An invalid setting stops the start. */
    public static void main(String[] args) {
        SpringApplication.run(CorralApplication.class, args);
    }
}
