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

/** Routes and filters of the management port besides Spring's endpoints. */
@ManagementContextConfiguration(value = ManagementContextType.CHILD, proxyBeanMethods = false)
final class ManagementWebConfiguration {

    /** Before Spring's endpoint mappings (-100), which reject other methods of their paths. */
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
