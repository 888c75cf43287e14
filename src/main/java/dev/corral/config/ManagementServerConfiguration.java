package dev.corral.config;

import dev.corral.proxy.netty.ConnectionGuard;
import dev.corral.proxy.netty.Http1Pipeline;
import dev.corral.proxy.netty.RequestSmugglingGuard;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.boot.web.embedded.netty.NettyReactiveWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.annotation.Bean;

/** The connection limits of the management port. Spring Boot does not apply the customizers of the data port to it. */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
final class ManagementServerConfiguration {

    @Bean
    WebServerFactoryCustomizer<NettyReactiveWebServerFactory> managementConnectionGuards(CorralProperties settings) {
        return factory -> factory.addServerCustomizers(server -> server.doOnChannelInit(
                (observer, channel, peer) -> Http1Pipeline.whenReady(channel, ready -> {
                    ConnectionGuard.install(ready, settings.server().toConnectionLimits());
                    RequestSmugglingGuard.installOnManagementPort(ready);
                })));
    }
}
