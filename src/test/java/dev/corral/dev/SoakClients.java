package dev.corral.dev;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The clients of a soak: each one asks, checks what it gets, rests a little and asks again. */
final class SoakClients implements AutoCloseable {

    private static final Pattern SHARED = Pattern.compile("key (\\d+) version (\\d+)\n");

    /** Who waits longer than this is not served late, but never: more than any bound of the service. */
    private static final Duration RESPONSE_TIMEOUT = Duration.ofSeconds(40);

    /** A POST is known to the whole fleet at the latest with the next two looks at the purge log. */
    private static final Duration POST_KNOWN = Duration.ofMillis(1_500);

    private final SoakPlan plan;
    private final SoakRules rules;
    private final List<ReplicaProcess> replicas;
    private final double[] zipf;
    private final AtomicLong cookies = new AtomicLong();
    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(RESPONSE_TIMEOUT)
            .build();
    private final List<Thread> threads = new ArrayList<>();
    private volatile boolean over;

    SoakClients(SoakPlan plan, SoakRules rules, List<ReplicaProcess> replicas) {
        this.plan = plan;
        this.rules = rules;
        this.replicas = replicas;
        this.zipf = zipf(plan.keys());
    }

    void start() {
        for (int i = 0; i < plan.clients(); i++) {
            var random = new Random(plan.seed() + i);
            threads.add(Thread.ofVirtual().name("soak-client-" + i).start(() -> run(random)));
        }
    }

    /** Ends when each client has got its last response. */
    @Override
    public void close() {
        over = true;
        try {
            for (Thread thread : threads) {
                thread.join(RESPONSE_TIMEOUT);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        http.shutdownNow();
    }

    private void run(Random random) {
        // On average all together make the plan's rate.
        double meanMillis = 1_000.0 * plan.clients() / plan.requestsPerSecond();
        while (!over) {
            try {
                Thread.sleep((long) (2 * meanMillis * random.nextDouble()));
                act(random);
            } catch (IOException e) {
                rules.violation("a client got no response: " + e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private void act(Random random) throws IOException, InterruptedException {
        int replica = random.nextInt(replicas.size());
        double kind = random.nextDouble();
        if (kind < 0.05) {
            requestPrivate(replica, random);
        } else if (kind < 0.055) {
            post(replica, random);
        } else {
            requestKey(replica, key(random));
        }
    }

    private void requestKey(int replica, int key) throws IOException, InterruptedException {
        SoakRules.ExpectedVersion expected = rules.sending(replica, key, System.nanoTime());
        HttpResponse<String> response = send(request(replica, "/keys/" + key).build());
        if (ok(response, "GET")) {
            Matcher shared = SHARED.matcher(response.body());
            if (shared.lookingAt()) {
                rules.received(expected, Integer.parseInt(shared.group(1)), Integer.parseInt(shared.group(2)),
                        System.nanoTime());
            } else {
                rules.violation("a private response for key " + key);
            }
        }
    }

    private void requestPrivate(int replica, Random random) throws IOException, InterruptedException {
        String cookie = "client=" + cookies.incrementAndGet();
        String path = (random.nextBoolean() ? "/session/" : "/private/") + random.nextInt(100);
        HttpResponse<String> response = send(request(replica, path).header("Cookie", cookie).build());
        rules.count("private responses");
        if (ok(response, "GET") && !response.body().equals("private " + cookie + "\n")) {
            rules.violation("another client's response for " + path + ": " + response.body());
        }
    }

    private void post(int replica, Random random) throws IOException, InterruptedException {
        // Not the hottest ones: they would never be old.
        int key = 100 + random.nextInt(plan.keys() - 100);
        rules.purgeRequested(key);
        long sent = System.nanoTime();
        HttpResponse<String> response = send(
                request(replica, "/keys/" + key).POST(BodyPublishers.ofString("x")).build());
        rules.count("POSTs");
        if (ok(response, "POST") && rules.isQuiet(sent)) {
            Thread.sleep(POST_KNOWN);
            rules.purged(key, sent);
            requestKey(random.nextInt(replicas.size()), key);
        }
    }

    private boolean ok(HttpResponse<String> response, String method) {
        rules.count("requests");
        if (response.statusCode() == 200) {
            return true;
        }
        rules.violation("status " + response.statusCode() + " for a " + method + ": "
                + response.body().replaceAll("\\s+", " ") + " "
                + response.headers().firstValue("Cache-Status").orElse(""));
        return false;
    }

    private HttpRequest.Builder request(int replica, String path) {
        return HttpRequest.newBuilder(URI.create(replicas.get(replica).url() + path)).timeout(RESPONSE_TIMEOUT);
    }

    private HttpResponse<String> send(HttpRequest request) throws IOException, InterruptedException {
        return http.send(request, BodyHandlers.ofString());
    }

    private int key(Random random) {
        int at = Arrays.binarySearch(zipf, random.nextDouble());
        return Math.min(at < 0 ? -at - 1 : at, plan.keys() - 1);
    }

    /** The share of the requests for key 0 to n, by n: a key is asked for in inverse proportion to its rank. */
    private static double[] zipf(int keys) {
        double[] sums = new double[keys];
        double sum = 0;
        for (int i = 0; i < keys; i++) {
            sum += 1.0 / (i + 1);
            sums[i] = sum;
        }
        for (int i = 0; i < keys; i++) {
            sums[i] /= sum;
        }
        return sums;
    }
}
