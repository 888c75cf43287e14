package dev.corral.http;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * A few requests to the smallest cache that can be made of the rules, and what each must come to. The name is the id of a test
 * of the public suite http-tests/cache-tests that asks for the same behaviour; its text and code are not used.
 */
final class Scenario {

    /** How a request came by its answer. */
    enum How {
        HIT, FETCHED, VALIDATED, STALE, FAILED
    }

    private static final Forwarding.From FROM = new Forwarding.From("192.0.2.7", "http", "shop.example", "1.1");

    private final String id;
    private final String section;
    private final List<Consumer<Scenario>> steps = new ArrayList<>();
    private final Map<String, Entry> tier = new HashMap<>();
    private Instant now = Given.NOW;
    private Policy policy = Policy.DEFAULT;
    private How how = How.FAILED;
    private Reply reply = new Reply(504, Fields.NONE, List.of());
    private Fields sent = Fields.NONE;

    private Scenario(String id, String section) {
        this.id = id;
        this.section = section;
    }

    static Scenario of(String id, String section) {
        return new Scenario(id, section);
    }

    String id() {
        return id;
    }

    @Override
    public String toString() {
        return id + " (" + section + ")";
    }

    void play() {
        steps.forEach(step -> step.accept(this));
    }

    Scenario with(Policy policy) {
        return then(scenario -> scenario.policy = policy);
    }

    Scenario after(int seconds) {
        return then(scenario -> scenario.now = scenario.now.plusSeconds(seconds));
    }

    /** A GET, and what the origin would say. */
    Scenario get(String request, String answer) {
        return ask("GET", "/product/1", request, 200, answer);
    }

    Scenario get(String answer) {
        return get("", answer);
    }

    Scenario status(int status, String answer) {
        return ask("GET", "/product/1", "", status, answer);
    }

    Scenario ask(String method, String target, String request, int status, String answer) {
        return then(scenario -> scenario.exchange(method, target, Given.fields(request),
                Optional.of(new Head(status, Given.fields(answer)))));
    }

    /** A GET while the origin breaks every connection. */
    Scenario disconnected() {
        return then(scenario -> scenario.exchange("GET", "/product/1", Fields.NONE, Optional.empty()));
    }

    Scenario hit() {
        return is(How.HIT);
    }

    Scenario fetched() {
        return is(How.FETCHED);
    }

    Scenario validated() {
        return is(How.VALIDATED);
    }

    Scenario is(How expected) {
        return then(scenario -> assertThat(scenario.how).as("%s", scenario).isEqualTo(expected));
    }

    Scenario has(String field, String value) {
        return then(scenario -> assertThat(scenario.reply.fields().all(field)).as("%s", scenario)
                .containsExactly(Given.fields(field + ": " + value).first(field).orElseThrow()));
    }

    Scenario lacks(String field) {
        return then(scenario -> assertThat(scenario.reply.fields().has(field)).as("%s", scenario).isFalse());
    }

    Scenario sent(String field, String value) {
        return then(scenario -> assertThat(scenario.sent.all(field)).as("%s", scenario).containsExactly(value));
    }

    Scenario replies(int status, String body) {
        return then(scenario -> {
            assertThat(scenario.reply.status()).as("%s", scenario).isEqualTo(status);
            assertThat(Given.text(scenario.reply)).as("%s", scenario).isEqualTo(body);
        });
    }

    private Scenario then(Consumer<Scenario> step) {
        steps.add(step);
        return this;
    }

    private void exchange(String method, String target, Fields fields, Optional<Head> origin) {
        Asked asked = Asked.parse(method, fields);
        if (asked.bypass().isPresent()) {
            pass(asked, target, origin.orElseThrow());
            return;
        }
        String key = key(target);
        Optional<Stored> found = find(key, asked);
        if (found.isEmpty()) {
            fetch(key, asked, Optional.empty(), Reuse.Fallback.NONE, origin);
            return;
        }
        Stored stored = found.get();
        switch (Reuse.decide(asked, stored, policy, now)) {
            case Reuse.Serve serve -> serve(How.HIT, asked, stored);
            case Reuse.ServeAndRefresh refresh -> serve(How.HIT, asked, stored);
            case Reuse.Validate validate -> fetch(key, asked, found, validate.fallback(), origin);
            case Reuse.Refuse refuse -> fail();
        }
    }

    private Optional<Stored> find(String key, Asked asked) {
        Entry entry = tier.get(key);
        if (entry instanceof Varies varies) {
            entry = tier.get(variantKey(key, Variant.selecting(varies.names(), asked.fields(), policy)));
        }
        return entry instanceof Stored stored && Variant.matches(stored, asked, policy)
                ? Optional.of(stored)
                : Optional.empty();
    }

    private void fetch(String key, Asked asked, Optional<Stored> stored, Reuse.Fallback fallback,
            Optional<Head> origin) {
        Fields conditions = stored.map(Validation::conditions).orElse(Fields.NONE);
        sent = Forwarding.toOriginShared(asked.fields(), FROM, Forwarding.Rules.DEFAULT, List.of())
                .plus(conditions);
        if (origin.isEmpty()) {
            if (fallback.whenUnreachable()) {
                serve(How.STALE, asked, stored.orElseThrow());
            } else {
                fail();
            }
            return;
        }
        Head head = origin.get();
        if (unchanged(head)) {
            Optional<Stored> fresh = Validation.freshen(stored.orElseThrow(), new Head(304, head.fields()), asked,
                    policy, now, now, 8);
            if (fresh.isPresent()) {
                keep(key, fresh.get());
                serve(How.VALIDATED, asked, fresh.get());
                return;
            }
        }
        if (Reuse.error(head.status()) && fallback.onError()) {
            serve(How.STALE, asked, stored.orElseThrow());
            return;
        }
        Body body = Body.of("01234567890".getBytes(StandardCharsets.US_ASCII));
        how = How.FETCHED;
        switch (Storing.decide(asked, head, policy, now, now)) {
            case Storing.Share share -> {
                Stored kept = Stored.of(key, asked, share, policy, 8, body);
                keep(key, kept);
                reply = Reply.of(asked, kept, now, policy);
            }
            case Storing.Withhold withhold -> reply = Reply.of(asked, head, body, now, policy);
            case Storing.Fail failed -> reply = Reply.of(asked, head, body, now, policy);
        }
    }

    /** Whether an origin that knows conditions would say 304 to what was sent. */
    private boolean unchanged(Head head) {
        Optional<String> tag = sent.first("If-None-Match");
        Optional<String> since = sent.first("If-Modified-Since");
        return tag.isPresent()
                ? tag.equals(head.fields().first("ETag"))
                : since.isPresent() && since.equals(head.fields().first("Last-Modified"));
    }

    private void keep(String key, Stored stored) {
        List<String> names = Variant.names(stored.head());
        if (!names.isEmpty()) {
            tier.put(key, new Varies(key, names, stored.position()));
        }
        tier.put(names.isEmpty() ? key : variantKey(key, stored.selecting()), stored);
    }

    private void pass(Asked asked, String target, Head head) {
        how = How.FETCHED;
        for (String uri : Invalidation.targets(asked.method(), "http://shop.example" + target, head)) {
            String key = key(uri.substring(uri.indexOf('/', "http://".length())));
            tier.keySet().removeIf(stored -> stored.equals(key) || stored.startsWith(key + "\n"));
        }
        if (Storing.decidePost(asked, "http://shop.example" + target, head, policy, now,
                now) instanceof Storing.Share share) {
            keep(key(target), Stored.of(key(target), asked, share, policy, 8, Body.EMPTY));
        }
        reply = Reply.of(asked, head, Body.EMPTY, now, policy);
    }

    private void serve(How how, Asked asked, Stored stored) {
        this.how = how;
        reply = Reply.of(asked, stored, now, policy);
    }

    private void fail() {
        how = How.FAILED;
        reply = new Reply(504, Fields.NONE, List.of());
    }

    private static String variantKey(String key, Fields selecting) {
        return key + "\n" + Variant.text(selecting);
    }

    private static String key(String target) {
        int query = target.indexOf('?');
        return CacheKey.of("http", "shop.example", query < 0 ? target : target.substring(0, query),
                query < 0 ? Optional.empty() : Optional.of(target.substring(query + 1)), CacheKey.QueryRule.ALL,
                List.of());
    }
}
