package dev.corral.tier;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.RedisCluster;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

class RedisClusterTierTest extends RedisContract {

    private static RedisCluster cluster;
    private static List<Replica> replicas;

    @BeforeAll
    static void start() {
        cluster = RedisCluster.start();
        replicas = List.of(Replica.start("a", cluster.settings()), Replica.start("b", cluster.settings()));
    }

    @AfterAll
    static void stop() {
        replicas.forEach(Replica::close);
        cluster.close();
    }

    @Override
    List<EmbeddedRedis> servers() {
        return cluster.nodes();
    }

    @Override
    Replica one(int number) {
        return replicas.get(number);
    }
}
