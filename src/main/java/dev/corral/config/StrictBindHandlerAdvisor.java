package dev.corral.config;

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
 * Rejects unknown names that {@code ignoreUnknownFields = false} accepts: those two levels below a list element, such as
 * {@code corral.routes[0].query.exlude}. Like Spring, it ignores environment variables and system properties.
 */
final class StrictBindHandlerAdvisor implements ConfigurationPropertiesBindHandlerAdvisor {

    private static final ConfigurationPropertyName ROOT = ConfigurationPropertyName.of("corral");

    @Override
    public BindHandler apply(BindHandler handler) {
        return new StrictBindHandler(handler);
    }

    private static final class StrictBindHandler extends AbstractBindHandler {

        private final Set<String> boundNames = new HashSet<>();

        StrictBindHandler(BindHandler parent) {
            super(parent);
        }

        @Override
        public <T> Bindable<T> onStart(ConfigurationPropertyName name, Bindable<T> target, BindContext context) {
            boundNames.add(withoutIndexes(name));
            return super.onStart(name, target, context);
        }

        @Override
        public void onFinish(ConfigurationPropertyName name, Bindable<?> target, BindContext context, Object result)
                throws Exception {
            super.onFinish(name, target, context, result);
            if (name.equals(ROOT)) {
                rejectUnknown(context.getSources());
            }
        }

        private void rejectUnknown(Iterable<ConfigurationPropertySource> sources) {
            var unknown = new TreeSet<ConfigurationProperty>();
            for (ConfigurationPropertySource source : sources) {
                if (source instanceof IterableConfigurationPropertySource names && isChecked(source)) {
                    names.stream()
                            .filter(name -> ROOT.isAncestorOf(name) && !boundNames.contains(withoutIndexes(name)))
                            .map(source::getConfigurationProperty)
                            .forEach(unknown::add);
                }
            }
            if (!unknown.isEmpty()) {
                throw new UnboundConfigurationPropertiesException(unknown);
            }
        }

        private static boolean isChecked(ConfigurationPropertySource source) {
            return !(source.getUnderlyingSource() instanceof PropertySource<?> underlying
                    && (underlying.getName().equals(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME)
                            || underlying.getName()
                                    .equals(StandardEnvironment.SYSTEM_PROPERTIES_PROPERTY_SOURCE_NAME)));
        }

        /** The name without indexes: a list in one source replaces the list in another, whatever their lengths. */
        private static String withoutIndexes(ConfigurationPropertyName name) {
            return name.toString().replaceAll("\\[\\d+]", "");
        }
    }
}
