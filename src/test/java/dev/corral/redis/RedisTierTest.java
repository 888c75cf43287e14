package dev.corral.redis;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

class RedisTierTest extends RedisTierContract {

    private static EmbeddedRedis redis;
    private static List<RedisTierFixture> replicas;

    @BeforeAll
    static void start() {
        redis = RedisServer.embedded();
        replicas = List.of(RedisTierFixture.start("a", redis.settings()),
                RedisTierFixture.start("b", redis.settings()));
    }

    @AfterAll
    static void stop() {
        replicas.forEach(RedisTierFixture::close);
        redis.close();
    }

    @Override
    List<EmbeddedRedis> servers() {
        return List.of(redis);
    }

    @Override
    RedisTierFixture fixture(int number) {
        return replicas.get(number);
    }
}
