package dev.corral.proxy;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/** A class of tests of the whole application, given a {@link FleetUnderTest}, and nothing lost or logged in passing. */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@ExtendWith({FleetUnderTest.FleetParameterResolver.class, LogAndLeakGuard.class})
@interface ProxyTest {
}
