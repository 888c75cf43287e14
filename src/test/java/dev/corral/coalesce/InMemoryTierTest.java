package dev.corral.coalesce;

import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import reactor.test.scheduler.VirtualTimeScheduler;

import static org.assertj.core.api.Assertions.fail;

class InMemoryTierTest extends SharedTierContract {

    private final VirtualTimeScheduler time = VirtualTimeScheduler.create();
    private final InMemoryTier.InMemoryStore<TierKey, String> store = new InMemoryTier.InMemoryStore<>(time);
    private final List<InMemoryTier<TierKey, String>> replicas = List.of(store.replica("a"), store.replica("b"));
    private long position;

    @Override
    protected SharedTier<TierKey, String> replica(int number) {
        return replicas.get(number);
    }

    @Override
    protected void eventually(BooleanSupplier fact) {
        for (int step = 0; step < 1_000; step++) {
            if (fact.getAsBoolean()) {
                return;
            }
            time.advanceTimeBy(Duration.ofMillis(10));
        }
        fail("not within ten seconds of virtual time");
    }

    @Override
    protected long purge() {
        store.purgePosition(++position);
        return position;
    }

    @Override
    protected void setFull(boolean full) {
        store.full(full);
    }

    @Override
    protected long leftovers(String resource) {
        return store.leftovers(key -> key.resource().equals(resource));
    }
}
