package dev.corral.config;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.corral.management.fleet.DashboardController;
import dev.corral.management.purge.PurgeController;
import dev.corral.management.security.AuditFilter;
import dev.corral.management.security.ManagementExceptionHandler;
import org.springframework.boot.actuate.autoconfigure.endpoint.web.WebEndpointProperties;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextConfiguration;
import org.springframework.boot.actuate.autoconfigure.web.ManagementContextType;
import org.springframework.context.annotation.Bean;
import org.springframework.web.reactive.function.server.support.RouterFunctionMapping;

/** What only the management port has, besides Spring's endpoints. */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
final class ManagementWebConfiguration {

    /** Before the endpoints, which would refuse other methods of their paths: at -100. */
    private static final int BEFORE_ENDPOINTS = -200;

    @Bean
    RouterFunctionMapping managementRouterMapping(PurgeController control, DashboardController dashboard,
            WebEndpointProperties endpoints) {
        String base = endpoints.getBasePath();
        var mapping = new RouterFunctionMapping(control.routes(base).and(dashboard.routes(base)));
        mapping.setOrder(BEFORE_ENDPOINTS);
        return mapping;
    }

    @Bean
    AuditFilter auditFilter() {
        return new AuditFilter();
    }

    @Bean
    ManagementExceptionHandler managementExceptionHandler(ObjectMapper json) {
        return new ManagementExceptionHandler(json);
    }
}
