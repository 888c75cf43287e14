package dev.corral.redis;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisCluster;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

class RedisClusterTierTest extends RedisTierContract {

    private static RedisCluster cluster;
    private static List<RedisTierFixture> replicas;

    @BeforeAll
    static void start() {
        cluster = RedisCluster.start();
        replicas = List.of(RedisTierFixture.start("a", cluster.settings()),
                RedisTierFixture.start("b", cluster.settings()));
    }

    @AfterAll
    static void stop() {
        replicas.forEach(RedisTierFixture::close);
        cluster.close();
    }

    @Override
    List<EmbeddedRedis> servers() {
        return cluster.nodes();
    }

    @Override
    RedisTierFixture fixture(int number) {
        return replicas.get(number);
    }
}
