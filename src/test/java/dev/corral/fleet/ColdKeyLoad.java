package dev.corral.fleet;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** A steady load of cold keys: each is asked for once of every replica, all at the same time. Thread-safe. */
final class ColdKeyLoad implements AutoCloseable {

    private final DefaultSettingsFleet fleet;
    private final String name;
    private final List<String> targets = new ArrayList<>(); // guarded by this
    private final List<CompletableFuture<FleetResponse>> responses = new ArrayList<>(); // guarded by this
    private final Thread thread;

    private ColdKeyLoad(DefaultSettingsFleet fleet, String name, Duration period) {
        this.fleet = fleet;
        this.name = name;
        this.thread = Thread.ofVirtual().name("cold-load").unstarted(() -> run(period));
    }

    static ColdKeyLoad start(DefaultSettingsFleet fleet, String name, Duration period) {
        var load = new ColdKeyLoad(fleet, name, period);
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
        ProcessFleet.await(more + " more cold keys", HeldOriginPath.TIMEOUT, () -> keys() >= now + more);
    }

    /** Ends the load; what every client got. */
    List<FleetResponse> responses() {
        close();
        synchronized (this) {
            return new PendingResponses(List.copyOf(responses)).awaitAll();
        }
    }

    /** How many keys the origin was asked for how often. */
    synchronized Map<Long, Long> fetches() {
        return fleet.keysByFetchCount(targets);
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
                requestNext();
                Thread.sleep(period);
            }
        } catch (InterruptedException ignored) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized void requestNext() {
        String target = "/products/" + name + "-" + targets.size();
        targets.add(target);
        responses.addAll(fleet.request(List.of(target), DefaultSettingsFleet.SIZE).futures());
    }
}
