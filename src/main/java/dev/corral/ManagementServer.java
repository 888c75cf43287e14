package dev.corral;

import dev.corral.edge.ConnectionGuard;
import dev.corral.edge.Http1Pipeline;
import dev.corral.edge.StrictHead;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.boot.web.embedded.netty.NettyReactiveWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.annotation.Bean;

/** What the management port's server shares with the clients': Boot gives each its own customizers. */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
final class ManagementServer {

    @Bean
    WebServerFactoryCustomizer<NettyReactiveWebServerFactory> managementGuards(Settings settings) {
        return factory -> factory.addServerCustomizers(server -> server.doOnChannelInit(
                (observer, channel, peer) -> Http1Pipeline.whenReady(channel, ready -> {
                    ConnectionGuard.guard(ready, settings.server().limits());
                    StrictHead.guardManagement(ready);
                })));
    }
}
