package dev.corral.config;

import java.util.LinkedHashMap;
import java.util.Map;
import org.springframework.beans.factory.config.BeanFactoryPostProcessor;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.actuate.autoconfigure.web.server.ManagementPortType;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.core.env.Environment;

/**
 * Stops the start on settings that would be unsafe or without effect: management endpoints on the data port, where nothing guards
 * them and every path belongs to the routes; Spring's own login settings, which are not used; and trust in the forwarding fields of
 * every client.
 */
final class ManagementPortValidator implements BeanFactoryPostProcessor {

    private static final String JWT_PREFIX = "spring.security.oauth2.resourceserver.jwt.";

    private static final String FORWARD_HEADERS_STRATEGY = "server.forward-headers-strategy";

    private final Environment environment;

    ManagementPortValidator(Environment environment) {
        this.environment = environment;
    }

    @Override
    public void postProcessBeanFactory(ConfigurableListableBeanFactory beans) {
        if (ManagementPortType.get(environment) == ManagementPortType.SAME) {
            throw new InvalidConfigurationPropertyValueException("management.server.port",
                    environment.getProperty("management.server.port"),
                    "Must differ from server.port, or be -1 for no management port: clients must not reach the management "
                            + "endpoints.");
        }
        String strategy = environment.getProperty(FORWARD_HEADERS_STRATEGY, "none");
        if (!strategy.equalsIgnoreCase("none")) {
            throw new InvalidConfigurationPropertyValueException(FORWARD_HEADERS_STRATEGY, strategy,
                    "Both ports would trust the address, scheme and path that any client claims. Use "
                            + "corral.routes[n].forward.trust, behind a proxy that sets these fields.");
        }
        replacementsOfUnsupported().forEach((setting, replacement) -> {
            if (environment.containsProperty(setting)) {
                throw new InvalidConfigurationPropertyValueException(setting, "(set)",
                        "Has no effect in Corral. Use " + replacement + ".");
            }
        });
    }

    private static Map<String, String> replacementsOfUnsupported() {
        var replacements = new LinkedHashMap<String, String>();
        replacements.put("spring.security.user.name", "corral.management.users[0].name");
        replacements.put("spring.security.user.password", "corral.management.users[0].password");
        replacements.put("spring.security.user.roles", "corral.management.users[0].role");
        replacements.put(JWT_PREFIX + "authorities-claim-name", "corral.management.jwt.roles-claim");
        replacements.put(JWT_PREFIX + "authority-prefix", "corral.management.jwt.viewer and .operator");
        replacements.put(JWT_PREFIX + "authorities-claim-delimiter", "corral.management.jwt.roles-claim");
        replacements.put("spring.security.oauth2.resourceserver.opaquetoken.introspection-uri",
                JWT_PREFIX + "issuer-uri");
        return replacements;
    }
}
