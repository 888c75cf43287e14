package dev.corral;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.ops.Changes;
import dev.corral.ops.Control;
import dev.corral.ops.Dashboard;
import dev.corral.ops.Problems;
import org.springframework.boot.actuate.autoconfigure.endpoint.web.WebEndpointProperties;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.context.annotation.Bean;
import org.springframework.web.reactive.function.server.support.RouterFunctionMapping;

/** What only the management port has, besides Spring's endpoints. */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
final class ManagementWiring {

    /** Before the endpoints, which would refuse other methods of their paths: at -100. */
    private static final int BEFORE_ENDPOINTS = -200;

    @Bean
    RouterFunctionMapping controlMapping(Control control, Dashboard dashboard, WebEndpointProperties endpoints) {
        String base = endpoints.getBasePath();
        var mapping = new RouterFunctionMapping(control.routes(base).and(dashboard.routes(base)));
        mapping.setOrder(BEFORE_ENDPOINTS);
        return mapping;
    }

    @Bean
    Changes changes() {
        return new Changes();
    }

    @Bean
    Problems problems(ObjectMapper json) {
        return new Problems(json);
    }
}
