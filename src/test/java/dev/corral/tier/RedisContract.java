package dev.corral.tier;

import dev.corral.coalesce.Key;
import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.SharedTierContract;
import dev.corral.dev.EmbeddedRedis;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.awaitility.Awaitility;

/** The contract over real Redis servers. */
abstract class RedisContract extends SharedTierContract {

    abstract List<EmbeddedRedis> servers();

    abstract Replica one(int number);

    @Override
    protected SharedTier<Key, String> replica(int number) {
        return one(number).tier;
    }

    @Override
    protected void eventually(BooleanSupplier fact) {
        Awaitility.await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(5)).until(fact::getAsBoolean);
    }

    @Override
    protected long purge() {
        return one(0).purges.purge(List.of("contract")).blockOptional().orElseThrow().position();
    }

    @Override
    protected void full(boolean full) {
        servers().forEach(server -> server.ask("CONFIG SET maxmemory " + (full ? "1" : "0")));
    }

    @Override
    protected long leftovers(String resource) {
        return servers().stream()
                .flatMap(server -> server.ask("KEYS *").lines())
                .filter(name -> name.contains(resource + "}") || !name.startsWith("corral:"))
                .filter(name -> !name.startsWith("corral:") || name.matches(".*:(lock|wait|fail)"))
                .count();
    }
}
