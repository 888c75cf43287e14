package dev.corral;

import java.util.HashSet;
import java.util.Set;
import java.util.TreeSet;
import org.springframework.boot.context.properties.ConfigurationPropertiesBindHandlerAdvisor;
import org.springframework.boot.context.properties.bind.AbstractBindHandler;
import org.springframework.boot.context.properties.bind.BindContext;
import org.springframework.boot.context.properties.bind.BindHandler;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.UnboundConfigurationPropertiesException;
import org.springframework.boot.context.properties.source.ConfigurationProperty;
import org.springframework.boot.context.properties.source.ConfigurationPropertyName;
import org.springframework.boot.context.properties.source.ConfigurationPropertySource;
import org.springframework.boot.context.properties.source.IterableConfigurationPropertySource;
import org.springframework.core.env.PropertySource;
import org.springframework.core.env.StandardEnvironment;

/**
 * Refuses the names that {@code ignoreUnknownFields = false} lets pass: those two levels below a list's element, such as
 * {@code corral.routes[0].query.exlude}. Like Spring, it leaves the process's environment and system properties alone.
 */
final class KnownNames implements ConfigurationPropertiesBindHandlerAdvisor {

    private static final ConfigurationPropertyName ROOT = ConfigurationPropertyName.of("corral");

    @Override
    public BindHandler apply(BindHandler handler) {
        return new Refusing(handler);
    }

    private static final class Refusing extends AbstractBindHandler {

        private final Set<String> known = new HashSet<>();

        Refusing(BindHandler parent) {
            super(parent);
        }

        @Override
        public <T> Bindable<T> onStart(ConfigurationPropertyName name, Bindable<T> target, BindContext context) {
            known.add(shape(name));
            return super.onStart(name, target, context);
        }

        @Override
        public void onFinish(ConfigurationPropertyName name, Bindable<?> target, BindContext context, Object result)
                throws Exception {
            super.onFinish(name, target, context, result);
            if (name.equals(ROOT)) {
                refuseUnknown(context.getSources());
            }
        }

        private void refuseUnknown(Iterable<ConfigurationPropertySource> sources) {
            var unknown = new TreeSet<ConfigurationProperty>();
            for (ConfigurationPropertySource source : sources) {
                if (source instanceof IterableConfigurationPropertySource names && checked(source)) {
                    names.stream()
                            .filter(name -> ROOT.isAncestorOf(name) && !known.contains(shape(name)))
                            .map(source::getConfigurationProperty)
                            .forEach(unknown::add);
                }
            }
            if (!unknown.isEmpty()) {
                throw new UnboundConfigurationPropertiesException(unknown);
            }
        }

        private static boolean checked(ConfigurationPropertySource source) {
            return !(source.getUnderlyingSource() instanceof PropertySource<?> underlying
                    && (underlying.getName().equals(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME)
                            || underlying.getName()
                                    .equals(StandardEnvironment.SYSTEM_PROPERTIES_PROPERTY_SOURCE_NAME)));
        }

        /** The name without its numbers: a list of one source hides that of another, whatever their lengths. */
        private static String shape(ConfigurationPropertyName name) {
            return name.toString().replaceAll("\\[\\d+]", "");
        }
    }
}
