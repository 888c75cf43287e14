package dev.corral.config;

import dev.corral.origin.OriginClient;
import java.util.Optional;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.ssl.NoSuchSslBundleException;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundles;

/** Spring's SSL bundles for the routes that name one, also when their files change ({@code reload-on-update}). */
final class OriginSslBundles {

    private final SslBundles bundles;

    OriginSslBundles(SslBundles bundles) {
        this.bundles = bundles;
    }

    /** Empty when the route names none; a name that is none stops the start. */
    Optional<SslBundle> bundle(CorralProperties.RouteProperties route) {
        return Optional.ofNullable(route.ssl().bundle()).map(name -> {
            try {
                return bundles.getBundle(name);
            } catch (NoSuchSslBundleException unknown) {
                throw new InvalidConfigurationPropertyValueException("corral.routes[" + route.id() + "].ssl.bundle",
                        name, "There is no such bundle; there are: " + bundles.getBundleNames()
                                + ". Set spring.ssl.bundle.pem." + name + ".* or spring.ssl.bundle.jks." + name + ".*");
            }
        });
    }

    /** Gives the origin each later version of its bundle. */
    void registerUpdates(CorralProperties.RouteProperties route, OriginClient origin) {
        Optional.ofNullable(route.ssl().bundle())
                .ifPresent(name -> bundles.addBundleUpdateHandler(name, origin::reloadSsl));
    }
}
