package dev.corral.deploy;

import dev.corral.config.CorralProperties;
import io.fabric8.kubernetes.api.model.Container;
import io.fabric8.kubernetes.api.model.EnvVar;
import io.fabric8.kubernetes.api.model.apps.Deployment;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.boot.context.properties.bind.BindHandler;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.bind.handler.NoUnboundElementsBindHandler;
import org.springframework.boot.context.properties.source.ConfigurationPropertySources;
import org.springframework.boot.context.properties.source.UnboundElementsSourceFilter;
import org.springframework.boot.env.YamlPropertySourceLoader;
import org.springframework.core.env.MutablePropertySources;
import org.springframework.core.env.StandardEnvironment;
import org.springframework.core.env.SystemEnvironmentPropertySource;
import org.springframework.core.io.ByteArrayResource;

/** The settings of one replica from a settings file and from environment variables, which take precedence. */
record ReplicaSettings(Binder binder) {

    static ReplicaSettings with(String applicationYml, Map<String, Object> environment) {
        var sources = new MutablePropertySources();
        sources.addLast(new SystemEnvironmentPropertySource(
                StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME, environment));
        try {
            new YamlPropertySourceLoader()
                    .load("application.yml", new ByteArrayResource(applicationYml.getBytes(StandardCharsets.UTF_8)))
                    .forEach(sources::addLast);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new ReplicaSettings(new Binder(ConfigurationPropertySources.from(sources)));
    }

    /** A replica of the release {@code shop}. A value from a Secret is {@code name/key}. */
    static ReplicaSettings of(KubernetesManifests manifests) {
        Container container = manifests.named(Deployment.class, "shop-corral")
                .getSpec()
                .getTemplate()
                .getSpec()
                .getContainers()
                .getFirst();
        return with(manifests.settings(), environment(container.getEnv()));
    }

    private static Map<String, Object> environment(List<EnvVar> variables) {
        var environment = new HashMap<String, Object>();
        for (EnvVar variable : variables) {
            if (variable.getValue() != null) {
                environment.put(variable.getName(), variable.getValue());
            } else if (variable.getValueFrom().getSecretKeyRef() != null) {
                var secret = variable.getValueFrom().getSecretKeyRef();
                environment.put(variable.getName(), secret.getName() + "/" + secret.getKey());
            } else {
                environment.put(variable.getName(), "the-" + variable.getValueFrom().getFieldRef().getFieldPath());
            }
        }
        return environment;
    }

    /** Corral's settings, bound and validated as at startup. */
    CorralProperties settings() {
        return bind("corral", CorralProperties.class);
    }

    /** Binds everything below the name. A name without a counterpart in the type is an error, except in the environment. */
    <T> T bind(String name, Class<T> type) {
        return binder
                .bind(name, Bindable.of(type),
                        new NoUnboundElementsBindHandler(BindHandler.DEFAULT, new UnboundElementsSourceFilter()))
                .get();
    }

    /** The value of the property. */
    <T> T value(String name, Class<T> type) {
        return binder.bind(name, type).get();
    }
}
