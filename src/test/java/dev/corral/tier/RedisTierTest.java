package dev.corral.tier;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisServer;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

class RedisTierTest extends RedisContract {

    private static EmbeddedRedis redis;
    private static List<Replica> replicas;

    @BeforeAll
    static void start() {
        redis = RedisServer.embedded();
        replicas = List.of(Replica.start("a", redis.settings()), Replica.start("b", redis.settings()));
    }

    @AfterAll
    static void stop() {
        replicas.forEach(Replica::close);
        redis.close();
    }

    @Override
    List<EmbeddedRedis> servers() {
        return List.of(redis);
    }

    @Override
    Replica one(int number) {
        return replicas.get(number);
    }
}
