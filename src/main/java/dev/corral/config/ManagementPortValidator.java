package dev.corral.config;

import java.util.LinkedHashMap;
import java.util.Map;
import org.springframework.beans.factory.config.BeanFactoryPostProcessor;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.actuate.autoconfigure.web.server.ManagementPortType;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.core.env.Environment;

/**
 * Refuses a start with the management endpoints on the clients' port, where nothing guards them and every path belongs to the
 * routes; settings of Spring's own for a login, which would have no effect; and one that would believe every client.
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
                    "It must be another port than server.port, or -1 for none: clients must not reach the management "
                            + "endpoints.");
        }
        String forwarded = environment.getProperty(FORWARD_HEADERS_STRATEGY, "none");
        if (!forwarded.equalsIgnoreCase("none")) {
            throw new InvalidConfigurationPropertyValueException(FORWARD_HEADERS_STRATEGY, forwarded,
                    "It would believe what any client says of its address, of the scheme and of the path, on both ports. Use "
                            + "corral.routes[n].forward.trust, behind a proxy that sets these fields.");
        }
        replacementsOfUnsupported().forEach((setting, instead) -> {
            if (environment.containsProperty(setting)) {
                throw new InvalidConfigurationPropertyValueException(setting, "(set)",
                        "It has no effect here. Use " + instead + ".");
            }
        });
    }

    private static Map<String, String> replacementsOfUnsupported() {
        var unread = new LinkedHashMap<String, String>();
        unread.put("spring.security.user.name", "corral.management.users[0].name");
        unread.put("spring.security.user.password", "corral.management.users[0].password");
        unread.put("spring.security.user.roles", "corral.management.users[0].role");
        unread.put(JWT_PREFIX + "authorities-claim-name", "corral.management.jwt.roles-claim");
        unread.put(JWT_PREFIX + "authority-prefix", "corral.management.jwt.viewer and .operator");
        unread.put(JWT_PREFIX + "authorities-claim-delimiter", "corral.management.jwt.roles-claim");
        unread.put("spring.security.oauth2.resourceserver.opaquetoken.introspection-uri", JWT_PREFIX + "issuer-uri");
        return unread;
    }
}
