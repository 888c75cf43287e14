package dev.corral.testkit;

import org.springframework.context.ApplicationContextInitializer;
import org.springframework.context.support.GenericApplicationContext;
import org.springframework.http.client.ReactorResourceFactory;

/**
 * All applications of a JVM share Reactor Netty's event loops, and the first one to stop would stop them for all. Here, where many
 * applications run side by side, none does.
 */
public final class SharedEventLoopsInitializer implements ApplicationContextInitializer<GenericApplicationContext> {

    private static final class PermanentReactorResources extends ReactorResourceFactory {

        @Override
        public void stop() {}

        @Override
        public void destroy() {}
    }

    @Override
    public void initialize(GenericApplicationContext context) {
        context.registerBean(ReactorResourceFactory.class, PermanentReactorResources::new);
    }
}
