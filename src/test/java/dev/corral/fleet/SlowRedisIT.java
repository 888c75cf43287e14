package dev.corral.fleet;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.FaultProxy;
import dev.corral.dev.RedisServer;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.Timeout;

import static org.assertj.core.api.Assertions.assertThat;

/** A slow Redis costs latency and no additional fetch, measured by the origin's count with the default settings. */
@Timeout(120)
@TestInstance(Lifecycle.PER_CLASS)
class SlowRedisIT {

    private final EmbeddedRedis redis = RedisServer.embedded();
    private final DefaultSettingsFleet fleet = DefaultSettingsFleet.behindProxies("slow", redis);

    @BeforeAll
    void awaitRedis() {
        fleet.awaitStart();
    }

    @AfterEach
    void heal() {
        fleet.proxies().forEach(FaultProxy::heal);
    }

    @AfterAll
    void stop() {
        fleet.close();
        redis.close();
    }

    /** Several times a typical command timeout. */
    @Test
    void redisLatencyCostsNoExtraFetch() {
        assertNoExtraFetch("far", proxy -> proxy.delay(Duration.ofMillis(120), Duration.ZERO));
    }

    @Test
    void redisJitterCostsNoExtraFetch() {
        assertNoExtraFetch("jitter", proxy -> proxy.delay(Duration.ZERO, Duration.ofMillis(150)));
    }

    @Test
    void limitedRedisBandwidthCostsNoExtraFetch() {
        assertNoExtraFetch("narrow", proxy -> proxy.bandwidth(300_000));
    }

    /** Redis is busy with a script, a fork or another process, for less time than silence is detected. */
    @Test
    void shortRedisPausesCostNoExtraFetch() {
        try (ColdKeyLoad load = fleet.startColdLoad("pause", Duration.ofMillis(100))) {
            for (int pause = 0; pause < 5; pause++) {
                redis.execute("CLIENT PAUSE 400 ALL");
                load.awaitKeys(10);
            }
            assertOneFetchPerKey(load);
        }
    }

    @Test
    void flushedRedisScriptsCostNoExtraFetch() {
        try (ColdKeyLoad load = fleet.startColdLoad("scripts", Duration.ofMillis(100))) {
            for (int flush = 0; flush < 5; flush++) {
                load.awaitKeys(5);
                redis.execute("SCRIPT FLUSH");
            }
            load.awaitKeys(5);
            assertOneFetchPerKey(load);
        }
    }

    private void assertNoExtraFetch(String name, Consumer<FaultProxy> weather) {
        fleet.proxies().forEach(weather);
        fleet.assertOneFetchPerKey(name + "-burst", 50, 6);
        try (ColdKeyLoad load = fleet.startColdLoad(name, Duration.ofMillis(50))) {
            load.awaitKeys(60);
            assertOneFetchPerKey(load);
        }
    }

    private static void assertOneFetchPerKey(ColdKeyLoad load) {
        assertThat(DefaultSettingsFleet.clientsByStatus(load.responses())).containsOnlyKeys(200);
        assertThat(load.fetches()).as("keys by their fetches").isEqualTo(Map.of(1L, (long) load.keys()));
    }
}
