package dev.corral.fleet;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FaultProxy;
import dev.corral.dev.RedisServer;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * With the default settings every cold key costs the origin one fetch: in the first round of a newly ready fleet, with many keys at once,
 * and with late replies of Redis. Measured by the origin's count, on an idle machine and on a busy one.
 */
@Timeout(180)
class DefaultSettingsIT {

    @Nested
    @Tag("faults")
    class OnAQuietMachine extends LoadTests {
        @Override
        String name() {
            return "quiet";
        }
    }

    /** As many processes that only compute as there are cores: they have half of the machine. */
    @Nested
    class OnABusyMachine extends LoadTests {

        private final CpuLoadProcesses busy = CpuLoadProcesses.start();

        @Override
        String name() {
            return "busy";
        }

        @AfterAll
        void endTheBusyness() {
            busy.close();
        }
    }

    @TestInstance(Lifecycle.PER_CLASS)
    @TestMethodOrder(MethodOrderer.OrderAnnotation.class)
    abstract static class LoadTests {

        private final EmbeddedRedis redis = RedisServer.embedded();
        private @Nullable DefaultSettingsFleet started;

        abstract String name();

        @BeforeAll
        void start() {
            started = DefaultSettingsFleet.behindProxies("default-" + name(), redis);
        }

        @AfterEach
        void heal() {
            fleet().proxies().forEach(FaultProxy::heal);
        }

        @AfterAll
        void stop() {
            fleet().close();
            redis.close();
        }

        /** The first requests that these JVMs get. */
        @Test
        @Order(1)
        void firstStampedeOfNewFleetCostsOneFetch() {
            fleet().assertOneFetchPerKey(name() + "-first", 1, 800);
        }

        @Test
        @Order(2)
        void laterStampedeCostsOneFetch() {
            fleet().assertOneFetchPerKey(name() + "-crowd", 1, 800);
        }

        @Test
        @Order(3)
        void fiftyKeysWithSixClientsCostOneFetchEach() {
            fleet().assertOneFetchPerKey(name() + "-50x6", 50, 6);
        }

        @Test
        @Order(4)
        void twoHundredKeysWithThreeClientsCostOneFetchEach() {
            fleet().assertOneFetchPerKey(name() + "-200x3", 200, 3);
        }

        @Test
        @Order(5)
        void twoHundredKeysWithTwentyClientsCostOneFetchEach() {
            fleet().assertOneFetchPerKey(name() + "-200x20", 200, 20);
        }

        /** One packet in a hundred is lost on the way to one replica: on Linux it comes again after 200 ms, and all behind it. */
        @Test
        @Order(6)
        void lateRedisRepliesCostNoExtraFetch() {
            fleet().proxies().getFirst().lateReplies(0.01, Duration.ofMillis(200));
            try (ColdKeyLoad load = fleet().startColdLoad(name() + "-late", Duration.ofMillis(30))) {
                load.awaitKeys(300);

                assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).containsOnlyKeys(200);
                assertThat(load.fetches()).as("keys by their fetches").isEqualTo(Map.of(1L, (long) load.keys()));
            }
        }

        private DefaultSettingsFleet fleet() {
            return Objects.requireNonNull(started);
        }
    }
}
