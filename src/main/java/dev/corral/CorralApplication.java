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
 * Starts one replica of Corral. What is excluded would put Spring Security before the clients' port too: it stands before the
 * management port only ({@code ManagementSecurityConfiguration}).
 */
@SpringBootConfiguration
@EnableAutoConfiguration(exclude = {ReactiveSecurityAutoConfiguration.class,
        ReactiveUserDetailsServiceAutoConfiguration.class, ReactiveManagementWebSecurityAutoConfiguration.class,
        ReactiveOAuth2ResourceServerAutoConfiguration.class})
@Import(CorralConfiguration.class)
public final class CorralApplication {

    static {
        // How many pieces of an answer that streams are asked for ahead of its client. A piece is what one read brings, up to 64 KB:
        // 256 KB for each client that reads slowly or not at all, rather than the 8 MB of Reactor Netty's own 128.
        String ahead = ReactorNetty.REACTOR_NETTY_SEND_MAX_PREFETCH_SIZE;
        System.setProperty(ahead, System.getProperty(ahead, "4"));
        // How long the JDK keeps what a name means, in seconds. Its 30 are long for a Redis that has moved; a setting of java.security or
        // on the command line wins.
        setDnsCacheTtl("networkaddress.cache.ttl", "sun.net.inetaddr.ttl", "5");
        setDnsCacheTtl("networkaddress.cache.negative.ttl", "sun.net.inetaddr.negative.ttl", "1");
    }

    private CorralApplication() {}

    private static void setDnsCacheTtl(String setting, String property, String seconds) {
        boolean negative = setting.contains("negative");
        // The JDK's own file sets the negative one, to 10.
        if (System.getProperty(property) == null && (negative || Security.getProperty(setting) == null)) {
            Security.setProperty(setting, seconds);
        }
    }

    /** Starts the replica; a bad setting stops the start. */
    public static void main(String[] args) {
        SpringApplication.run(CorralApplication.class, args);
    }
}
