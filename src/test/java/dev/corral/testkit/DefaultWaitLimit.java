package dev.corral.testkit;

import java.time.Duration;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * How long a test waits for a condition, unless it says otherwise. The limit is for conditions that never hold: how long a busy
 * machine takes is not what those tests are about. Below JUnit's limit for a test, so
 * that the failure says what did not come true. JUnit finds this class by itself (META-INF/services).
 */
public final class DefaultWaitLimit implements BeforeAllCallback {

    @Override
    public void beforeAll(ExtensionContext context) {
        Awaitility.setDefaultTimeout(Duration.ofSeconds(60));
        // Most waits are for some milliseconds, and there are thousands of them. Awaitility looks first after 100 ms.
        Awaitility.setDefaultPollDelay(Duration.ZERO);
        Awaitility.setDefaultPollInterval(Duration.ofMillis(20));
    }
}
