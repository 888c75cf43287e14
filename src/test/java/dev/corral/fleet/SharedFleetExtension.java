package dev.corral.fleet;

import java.util.List;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ExtensionContext.Store.CloseableResource;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives all classes the same {@link ProcessFleet}, healthy before each test, because a start takes longer than most tests. A test fails if
 * a replica's log contains an unexpected fault, and a class fails if a replica leaked a buffer.
 */
final class SharedFleetExtension implements ParameterResolver, BeforeEachCallback, AfterEachCallback, AfterAllCallback {

    private record FleetResource(ProcessFleet fleet) implements CloseableResource {

        @Override
        public void close() {
            fleet.close();
        }
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == ProcessFleet.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return fleet(context);
    }

    @Override
    public void beforeEach(ExtensionContext context) {
        fleet(context).awaitIdleAndConnected();
    }

    @Override
    public void afterEach(ExtensionContext context) {
        fail("faults in the replicas' logs", fleet(context).endTest());
    }

    @Override
    public void afterAll(ExtensionContext context) {
        fail("lost buffers", fleet(context).leakedBuffers());
    }

    private static ProcessFleet fleet(ExtensionContext context) {
        return context.getRoot()
                .getStore(Namespace.create(SharedFleetExtension.class))
                .getOrComputeIfAbsent(FleetResource.class, key -> new FleetResource(ProcessFleet.start()),
                        FleetResource.class)
                .fleet();
    }

    private static void fail(String what, List<String> lines) {
        if (!lines.isEmpty()) {
            throw new AssertionError(what + ":\n" + String.join("\n", lines));
        }
    }
}
