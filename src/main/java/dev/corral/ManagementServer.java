package dev.corral;

import dev.corral.edge.ReadOn;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.boot.web.embedded.netty.NettyReactiveWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.annotation.Bean;

/** What the management port's server shares with the clients': Boot gives each its own customizers. */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
final class ManagementServer {

    @Bean
    WebServerFactoryCustomizer<NettyReactiveWebServerFactory> managementReadsOn() {
        return factory -> factory.addServerCustomizers(server -> server.childObserve(new ReadOn()));
    }
}
