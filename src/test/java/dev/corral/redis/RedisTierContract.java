package dev.corral.redis;

import dev.corral.coalesce.SharedTier;
import dev.corral.coalesce.SharedTierContract;
import dev.corral.coalesce.TierKey;
import dev.corral.dev.EmbeddedRedis;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.awaitility.Awaitility;

/** The contract over real Redis servers. */
abstract class RedisTierContract extends SharedTierContract {

    abstract List<EmbeddedRedis> servers();

    abstract RedisTierFixture fixture(int number);

    @Override
    protected SharedTier<TierKey, String> replica(int number) {
        return fixture(number).tier;
    }

    @Override
    protected void eventually(BooleanSupplier fact) {
        Awaitility.await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(5)).until(fact::getAsBoolean);
    }

    @Override
    protected long purge() {
        return fixture(0).purges.purge(List.of("contract")).blockOptional().orElseThrow().position();
    }

    @Override
    protected void setFull(boolean full) {
        servers().forEach(server -> server.execute("CONFIG SET maxmemory " + (full ? "1" : "0")));
    }

    @Override
    protected long leftovers(String resource) {
        return servers().stream()
                .flatMap(server -> server.execute("KEYS *").lines())
                .filter(name -> name.contains(resource + "}") || !name.startsWith("corral:"))
                .filter(name -> !name.startsWith("corral:") || name.matches(".*:(lock|wait|fail)"))
                .count();
    }
}
