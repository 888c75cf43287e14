package dev.corral.config;

import dev.corral.origin.OriginClient;
import java.util.Optional;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.ssl.NoSuchSslBundleException;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundles;

/** Spring's SSL bundles of the routes that name one. Follows changes of their files ({@code reload-on-update}). */
final class OriginSslBundles {

    private final SslBundles bundles;

    OriginSslBundles(SslBundles bundles) {
        this.bundles = bundles;
    }

    /** Empty when the route names none. An unknown name stops the start. */
    Optional<SslBundle> bundle(CorralProperties.RouteProperties route) {
        return Optional.ofNullable(route.ssl().bundle()).map(name -> {
            try {
                return bundles.getBundle(name);
            } catch (NoSuchSslBundleException e) {
                throw new InvalidConfigurationPropertyValueException("corral.routes[" + route.id() + "].ssl.bundle",
                        name, "There is no such bundle; the configured bundles are: " + bundles.getBundleNames()
                                + ". Set spring.ssl.bundle.pem." + name + ".* or spring.ssl.bundle.jks." + name + ".*");
            }
        });
    }

    /** Passes each later version of the route's bundle to the origin client. */
    void registerUpdates(CorralProperties.RouteProperties route, OriginClient origin) {
        Optional.ofNullable(route.ssl().bundle())
                .ifPresent(name -> bundles.addBundleUpdateHandler(name, origin::reloadSsl));
    }
}
