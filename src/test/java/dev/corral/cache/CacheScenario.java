package dev.corral.cache;

import dev.corral.http.Body;
import dev.corral.http.Forwarding;
import dev.corral.http.HeaderFields;
import dev.corral.http.RequestHead;
import dev.corral.http.RequestHeaderPolicy;
import dev.corral.http.ResponseHead;
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
 * A sequence of requests to a minimal cache built from the rules, with the expected outcome of each. The id is that of a test with
 * the same behavior in the public suite http-tests/cache-tests; its text and code are not used.
 */
final class CacheScenario {

    /** How a request got its response. */
    enum Handling {
        HIT, FETCHED, VALIDATED, STALE, FAILED
    }

    private static final Forwarding.ClientConnection CLIENT_CONNECTION = new Forwarding.ClientConnection("192.0.2.7",
            "http", "shop.example", "1.1");

    private static final Forwarding.ForwardingRules RULES = new Forwarding.ForwardingRules("corral", false, false,
            RequestHeaderPolicy.DEFAULT);

    private final String id;
    private final String section;
    private final List<Consumer<CacheScenario>> steps = new ArrayList<>();
    private final Map<String, Entry> tier = new HashMap<>();
    private Instant now = CacheFixtures.NOW;
    private CachePolicy policy = CachePolicy.DEFAULT;
    private Handling handling = Handling.FAILED;
    private ClientResponse response = new ClientResponse(504, HeaderFields.EMPTY, List.of());
    private HeaderFields sentToOrigin = HeaderFields.EMPTY;

    private CacheScenario(String id, String section) {
        this.id = id;
        this.section = section;
    }

    static CacheScenario of(String id, String section) {
        return new CacheScenario(id, section);
    }

    String id() {
        return id;
    }

    @Override
    public String toString() {
        return id + " (" + section + ")";
    }

    void run() {
        steps.forEach(step -> step.accept(this));
    }

    CacheScenario withPolicy(CachePolicy policy) {
        return addStep(scenario -> scenario.policy = policy);
    }

    CacheScenario after(int seconds) {
        return addStep(scenario -> scenario.now = scenario.now.plusSeconds(seconds));
    }

    /** A GET, and the response that the origin would send. */
    CacheScenario get(String request, String response) {
        return request("GET", "/product/1", request, 200, response);
    }

    CacheScenario get(String response) {
        return get("", response);
    }

    CacheScenario getWithStatus(int status, String response) {
        return request("GET", "/product/1", "", status, response);
    }

    CacheScenario request(String method, String target, String request, int status, String response) {
        return addStep(scenario -> scenario.exchange(method, target, CacheFixtures.headerFields(request),
                Optional.of(new ResponseHead(status, CacheFixtures.headerFields(response)))));
    }

    /** A GET while the origin closes every connection. */
    CacheScenario getWithOriginDown() {
        return addStep(scenario -> scenario.exchange("GET", "/product/1", HeaderFields.EMPTY, Optional.empty()));
    }

    CacheScenario hit() {
        return isHandled(Handling.HIT);
    }

    CacheScenario fetched() {
        return isHandled(Handling.FETCHED);
    }

    CacheScenario validated() {
        return isHandled(Handling.VALIDATED);
    }

    CacheScenario isHandled(Handling expected) {
        return addStep(scenario -> assertThat(scenario.handling).as("%s", scenario).isEqualTo(expected));
    }

    CacheScenario hasField(String field, String value) {
        return addStep(scenario -> assertThat(scenario.response.fields().values(field)).as("%s", scenario)
                .containsExactly(CacheFixtures.headerFields(field + ": " + value).firstValue(field).orElseThrow()));
    }

    CacheScenario lacksField(String field) {
        return addStep(scenario -> assertThat(scenario.response.fields().has(field)).as("%s", scenario).isFalse());
    }

    CacheScenario sentToOrigin(String field, String value) {
        return addStep(
                scenario -> assertThat(scenario.sentToOrigin.values(field)).as("%s", scenario).containsExactly(value));
    }

    CacheScenario respondsWith(int status, String body) {
        return addStep(scenario -> {
            assertThat(scenario.response.status()).as("%s", scenario).isEqualTo(status);
            assertThat(CacheFixtures.bodyText(scenario.response)).as("%s", scenario).isEqualTo(body);
        });
    }

    private CacheScenario addStep(Consumer<CacheScenario> step) {
        steps.add(step);
        return this;
    }

    private void exchange(String method, String target, HeaderFields fields, Optional<ResponseHead> origin) {
        RequestHead request = RequestHead.parse(method, fields);
        if (request.bypassReason().isPresent()) {
            pass(request, target, origin.orElseThrow());
            return;
        }
        String key = key(target);
        Optional<StoredResponse> candidate = lookUp(key, request);
        if (candidate.isEmpty()) {
            fetch(key, request, Optional.empty(), Reuse.StaleFallback.NONE, origin);
            return;
        }
        StoredResponse stored = candidate.get();
        switch (Reuse.decide(request, stored, policy, now)) {
            case Reuse.Serve ignored -> serve(Handling.HIT, request, stored);
            case Reuse.ServeAndRefresh ignored -> serve(Handling.HIT, request, stored);
            case Reuse.Validate validate -> fetch(key, request, candidate, validate.fallback(), origin);
            case Reuse.Unsatisfiable ignored -> fail();
        }
    }

    private Optional<StoredResponse> lookUp(String key, RequestHead request) {
        Entry entry = tier.get(key);
        if (entry instanceof VaryMarker marker) {
            entry = tier.get(variantKey(key, Vary.selectingFields(marker.fieldNames(), request.fields(), policy)));
        }
        return entry instanceof StoredResponse stored && Vary.matches(stored, request, policy)
                ? Optional.of(stored)
                : Optional.empty();
    }

    private void fetch(String key, RequestHead request, Optional<StoredResponse> stored, Reuse.StaleFallback fallback,
            Optional<ResponseHead> origin) {
        HeaderFields conditions = stored.map(Revalidation::conditionalFields).orElse(HeaderFields.EMPTY);
        sentToOrigin = Forwarding
                .sharedRequestFields(request.fields(), CLIENT_CONNECTION, RULES, List.of())
                .plus(conditions);
        if (origin.isEmpty()) {
            if (fallback.allowedWhenUnreachable()) {
                serve(Handling.STALE, request, stored.orElseThrow());
            } else {
                fail();
            }
            return;
        }
        ResponseHead head = origin.get();
        if (originSaysNotModified(head)) {
            Optional<StoredResponse> freshened = Revalidation.freshen(stored.orElseThrow(),
                    new ResponseHead(304, head.fields()), request,
                    policy, now, now, 8);
            if (freshened.isPresent()) {
                store(key, freshened.get());
                serve(Handling.VALIDATED, request, freshened.get());
                return;
            }
        }
        if (Reuse.isStaleIfErrorStatus(head.status()) && fallback.allowedOnError()) {
            serve(Handling.STALE, request, stored.orElseThrow());
            return;
        }
        Body body = Body.of("01234567890".getBytes(StandardCharsets.US_ASCII));
        handling = Handling.FETCHED;
        switch (Storability.decide(request, head, policy, now, now)) {
            case Storability.Store decision -> {
                StoredResponse newResponse = StoredResponse.of(key, request, decision, policy, 8, body);
                store(key, newResponse);
                response = ClientResponse.of(request, newResponse, now, policy);
            }
            case Storability.DoNotStore ignored -> response = ClientResponse.of(request, head, body, now, policy);
            case Storability.FailFill ignored -> response = ClientResponse.of(request, head, body, now, policy);
        }
    }

    /** Whether an origin that supports conditions would respond to the sent request with 304. */
    private boolean originSaysNotModified(ResponseHead head) {
        Optional<String> tag = sentToOrigin.firstValue("If-None-Match");
        Optional<String> since = sentToOrigin.firstValue("If-Modified-Since");
        return tag.isPresent()
                ? tag.equals(head.fields().firstValue("ETag"))
                : since.isPresent() && since.equals(head.fields().firstValue("Last-Modified"));
    }

    private void store(String key, StoredResponse stored) {
        List<String> names = Vary.fieldNames(stored.head());
        if (!names.isEmpty()) {
            tier.put(key, new VaryMarker(key, names, stored.purgePosition()));
        }
        tier.put(names.isEmpty() ? key : variantKey(key, stored.selectingFields()), stored);
    }

    private void pass(RequestHead request, String target, ResponseHead head) {
        handling = Handling.FETCHED;
        for (String uri : Invalidation.targets(request.method(), "http://shop.example" + target, head)) {
            String key = key(uri.substring(uri.indexOf('/', "http://".length())));
            tier.keySet().removeIf(stored -> stored.equals(key) || stored.startsWith(key + "\n"));
        }
        if (PostStorability.decide(request, "http://shop.example" + target, head, policy, now,
                now) instanceof Storability.Store decision) {
            store(key(target), StoredResponse.of(key(target), request, decision, policy, 8, Body.EMPTY));
        }
        response = ClientResponse.of(request, head, Body.EMPTY, now, policy);
    }

    private void serve(Handling handling, RequestHead request, StoredResponse stored) {
        this.handling = handling;
        response = ClientResponse.of(request, stored, now, policy);
    }

    private void fail() {
        handling = Handling.FAILED;
        response = new ClientResponse(504, HeaderFields.EMPTY, List.of());
    }

    private static String variantKey(String key, HeaderFields selecting) {
        return key + "\n" + Vary.variantText(selecting);
    }

    private static String key(String target) {
        int query = target.indexOf('?');
        return CacheKey.of("http", "shop.example", query < 0 ? target : target.substring(0, query),
                query < 0 ? Optional.empty() : Optional.of(target.substring(query + 1)),
                CacheKey.QueryRule.ALL_PARAMETERS,
                List.of());
    }
}
