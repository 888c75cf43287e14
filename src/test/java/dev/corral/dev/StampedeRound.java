package dev.corral.dev;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.HdrHistogram.Histogram;

/**
 * The result of one round: number of keys, origin requests, response times and statuses, number of different bodies, and the first
 * response that was missing or not a 200.
 */
record StampedeRound(int keys, long originRequests, Histogram micros, SortedMap<Integer, Integer> statuses, int bodies,
        Optional<TimedResponse> failure) {

    /** All clients asked for one key. */
    static StampedeRound of(List<TimedResponse> replies, long originRequests) {
        return of(1, replies, originRequests);
    }

    static StampedeRound of(int keys, List<TimedResponse> replies, long originRequests) {
        var micros = new Histogram(3);
        var statuses = new TreeMap<Integer, Integer>();
        for (TimedResponse reply : replies) {
            micros.recordValue(reply.elapsed().toNanos() / 1_000);
            statuses.merge(reply.status(), 1, Integer::sum);
        }
        int bodies = Math.toIntExact(replies.stream().map(TimedResponse::body).distinct().count());
        Optional<TimedResponse> failure = replies.stream().filter(reply -> reply.status() != 200).findFirst();
        return new StampedeRound(keys, originRequests, micros, statuses, bodies, failure);
    }

    int clients() {
        return Math.toIntExact(micros.getTotalCount());
    }

    boolean allOk() {
        return statuses.equals(Map.of(200, clients()));
    }

    Duration percentile(double percent) {
        return Duration.ofNanos(micros.getValueAtPercentile(percent) * 1_000);
    }

    Duration max() {
        return Duration.ofNanos(micros.getMaxValue() * 1_000);
    }

    /** {@code 200 x 800}, or each status with its number; 0 is no answer. */
    String statusLine() {
        return statuses.entrySet()
                .stream()
                .map(entry -> entry.getKey() + " x " + entry.getValue())
                .collect(Collectors.joining(", "));
    }
}
