package dev.corral.fleet;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** A steady load of cold keys: each is asked for once of every replica, all at the same time. Thread-safe. */
final class ColdLoad implements AutoCloseable {

    private final DefaultFleet fleet;
    private final String name;
    private final List<String> targets = new ArrayList<>(); // guarded by this
    private final List<CompletableFuture<Reply>> replies = new ArrayList<>(); // guarded by this
    private final Thread thread;

    private ColdLoad(DefaultFleet fleet, String name, Duration period) {
        this.fleet = fleet;
        this.name = name;
        this.thread = Thread.ofVirtual().name("cold-load").unstarted(() -> run(period));
    }

    static ColdLoad start(DefaultFleet fleet, String name, Duration period) {
        var load = new ColdLoad(fleet, name, period);
        load.thread.start();
        return load;
    }

    /** How many keys have been asked for. */
    synchronized int keys() {
        return targets.size();
    }

    /** Returns when that many more keys have been asked for. */
    void awaitKeys(int more) {
        int now = keys();
        Fleet.await(more + " more cold keys", Held.PATIENCE, () -> keys() >= now + more);
    }

    /** Ends the load; what every client got. */
    List<Reply> replies() {
        close();
        synchronized (this) {
            return new Crowd(List.copyOf(replies)).all();
        }
    }

    /** How many keys the origin was asked for how often. */
    synchronized Map<Long, Long> fetches() {
        return fleet.fetches(targets);
    }

    @Override
    public void close() {
        thread.interrupt();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private void run(Duration period) {
        try {
            while (true) {
                askNext();
                Thread.sleep(period);
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized void askNext() {
        String target = "/products/" + name + "-" + targets.size();
        targets.add(target);
        replies.addAll(fleet.ask(List.of(target), DefaultFleet.SIZE).replies());
    }
}
