package dev.corral.management.fleet;

import dev.corral.dev.DemoShop;
import dev.corral.dev.EmbeddedRedis;
import dev.corral.testkit.HeadlessBrowser;
import dev.corral.testkit.HeadlessBrowser.Viewport;
import dev.corral.testkit.InProcessReplica;
import dev.corral.testkit.SwitchableTcpProxy;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.openqa.selenium.Keys;
import org.openqa.selenium.WebDriverException;
import org.openqa.selenium.WebElement;
import org.slf4j.LoggerFactory;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * The dashboard in a real browser, with three replicas under load. Skipped with a message when there is no browser.
 */
@EnabledIf(value = "isThereABrowser", disabledReason = HeadlessBrowser.BROWSER_MISSING_MESSAGE)
class DashboardIT {

    private static final int REPLICAS = 3;

    private static EmbeddedRedis redis;
    private static DemoShop shop;
    private static final List<InProcessReplica> FLEET = new ArrayList<>();
    private static ShopperLoad load;
    private static HeadlessBrowser browser;

    /** Clients that request popular pages, and from time to time a new page all at once. */
    private static final class ShopperLoad implements AutoCloseable {

        private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
        private final Random random = new Random(4);
        private int tick;

        void start() {
            var unused = timer.scheduleAtFixedRate(this::tick, 0, 100, TimeUnit.MILLISECONDS);
        }

        private void tick() {
            tick++;
            // A wave of slightly more than a minute, with occasional bursts.
            int size = (int) (7 + 4 * Math.sin(tick / 110.0)) + (tick % 430 < 60 ? 14 : 0);
            for (int i = 0; i < size; i++) {
                request(i, "/products/" + (int) Math.abs(random.nextGaussian() * 25));
            }
            if (random.nextInt(70) == 0) {
                requestAll(45, "/products/flash-" + tick);
            }
            if (tick % 170 == 0) {
                requestAll(30, "/slow/1500/products/slow-" + tick);
            }
            if (tick % 25 == 0) {
                request(tick, "/private/cart");
            }
        }

        private void requestAll(int requests, String path) {
            for (int i = 0; i < requests; i++) {
                request(i, path);
            }
        }

        private void request(int any, String path) {
            var url = URI.create("http://127.0.0.1:" + FLEET.get(any % REPLICAS).port() + path);
            var unused = http.sendAsync(HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(20)).build(),
                    BodyHandlers.discarding());
        }

        @Override
        public void close() {
            timer.shutdownNow();
            http.shutdownNow();
        }
    }

    static boolean isThereABrowser() {
        boolean found = HeadlessBrowser.BrowserBinaries.locate().isPresent();
        if (!found) {
            // The count of skipped tests does not tell the reason.
            LoggerFactory.getLogger(DashboardIT.class).warn(HeadlessBrowser.BROWSER_MISSING_MESSAGE);
        }
        return found;
    }

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
        shop = DemoShop.start(Duration.ofMillis(120));
        for (int i = 1; i <= REPLICAS; i++) {
            FLEET.add(InProcessReplica.start(settings(i)));
        }
        load = new ShopperLoad();
        load.start();
        browser = HeadlessBrowser.open(HeadlessBrowser.BrowserBinaries.locate().orElseThrow());
    }

    private static Map<String, String> settings(int number) {
        Map<String, String> settings = DashboardTest.settings(redis, shop);
        settings.put("corral.replica-id", "corral-" + number);
        return settings;
    }

    @AfterAll
    static void stop() {
        Optional.ofNullable(browser).ifPresent(HeadlessBrowser::close);
        Optional.ofNullable(load).ifPresent(ShopperLoad::close);
        FLEET.forEach(InProcessReplica::close);
        FLEET.clear();
        Optional.ofNullable(shop).ifPresent(DemoShop::close);
        Optional.ofNullable(redis).ifPresent(EmbeddedRedis::close);
    }

    @BeforeEach
    void open() {
        browser.setViewport(Viewport.DESKTOP);
        open("olga:acts");
    }

    /** Opens the page with the credentials in the URL, which scripts may not use for their requests. */
    private static void open(String login) {
        open(login, FLEET.getFirst().managementPort());
    }

    private static void open(String login, int port) {
        browser.driver().get("http://" + login + "@127.0.0.1:" + port + "/actuator/dashboard");
        await().untilAsserted(() -> assertThat(browser.text("#link")).isEqualTo("Live"));
        await().untilAsserted(() -> assertThat(browser.text("#fleet-size")).isEqualTo("3 of 3 replicas live"));
    }

    @AfterEach
    void assertNoConsoleWarnings() {
        assertThat(browser.consoleWarnings()).isEmpty();
    }

    private static ConditionFactory await() {
        return Awaitility.await()
                .atMost(Duration.ofSeconds(30))
                .pollInterval(Duration.ofMillis(100))
                // An element may be replaced while it is being read.
                .ignoreExceptionsInstanceOf(WebDriverException.class);
    }

    private static String cacheStatusOf(int replica, String path) {
        return FLEET.get(replica).request("GET", path).headers().firstValue("Cache-Status").orElse("");
    }

    private static void choose(String what) {
        browser.find("input[value='" + what + "']").sendKeys(Keys.SPACE);
        assertThat(browser.find("input[value='" + what + "']").isSelected()).isTrue();
    }

    private static void enterNames(String text) {
        WebElement names = browser.find("#names");
        names.clear();
        names.sendKeys(text);
    }

    private static void preview() {
        browser.find("#preview").click();
        await().untilAsserted(() -> assertThat(browser.text("#outcome")).contains("The purge will hit"));
    }

    // ---- display

    @Test
    void figuresUpdateUnderLoad() {
        await().untilAsserted(() -> {
            assertThat(browser.number("#requests")).isGreaterThan(5);
            assertThat(browser.number("#hit-ratio")).isBetween(50.0, 100.0);
            assertThat(browser.number("#per-fill")).isBetween(0.5, 2.0);
            assertThat(browser.text("#p50")).endsWith("ms");
        });
        double saved = browser.number("#saved");
        String clock = browser.text("#clock");

        await().untilAsserted(() -> {
            assertThat(browser.number("#saved")).isGreaterThan(saved);
            assertThat(browser.text("#clock")).isNotEqualTo(clock);
        });
        assertThat(browser.findAll("#replicas tr")).hasSize(REPLICAS)
                .allSatisfy(row -> assertThat(row.getText()).contains("corral-", "live", "up", "closed"));
        await().untilAsserted(() -> assertThat(browser.text("#keys")).contains("-"));
        // A canvas without a chart has only one color.
        assertThat(browser.runScript("""
                const canvas = document.getElementById('traffic');
                const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                return new Set(new Uint32Array(pixels.buffer)).size > 10;
                """)).isEqualTo(true);
    }

    @Test
    void chartIsAvailableAsTable() {
        browser.find("details[data-chart=traffic] summary").sendKeys(Keys.ENTER);

        await().untilAsserted(() -> {
            assertThat(browser.text("details[data-chart=traffic] thead")).contains("hit", "origin fetches");
            assertThat(browser.findAll("details[data-chart=traffic] tbody tr")).isNotEmpty();
        });
        await().untilAsserted(() -> assertThat(browser.find("#traffic").getAttribute("aria-label"))
                .contains("origin fetches now", "at most"));
    }

    /** The page adds up the counts itself; no sum may decrease when a replica restarts. */
    @Test
    void restartedReplicaCausesNoNegativeRate() {
        Object rates = browser
                .runScript(
                        """
                                const {Fleet} = await import(document.querySelector('script[type=module]').src.replace('page.js', 'fleet.js'));
                                const fleet = new Fleet();
                                const sample = (second, ...replicas) => fleet.add({
                                  time: new Date(second * 1000).toISOString(), self: 'a', fleet: {p50Millis: null, p99Millis: null}, purges: [],
                                  replicas: replicas.map(([id, started, hits]) => ({id, started, live: true, requests: {hit: hits}, fetches: 0})),
                                });
                                sample(1000, ['a', 'early', 500], ['b', 'early', 9000]);
                                sample(1001, ['a', 'early', 510], ['b', 'early', 9010]);
                                sample(1002, ['a', 'early', 520], ['b', 'restarted', 3]);
                                sample(1003, ['a', 'early', 530]);
                                sample(1004, ['a', 'early', 540], ['b', 'restarted', 5], ['c', new Date(1003500).toISOString(), 7]);
                                sample(1005, ['a', 'early', 550], ['b', 'restarted', 5], ['c', new Date(1003500).toISOString(), 7], ['d', '1970-01-01T00:00:00Z', 99]);
                                sample(1005, ['a', 'early', 0]);
                                return fleet.points.map((point, index) => fleet.rates(1000, index)?.hit ?? -1).join(' ');
                                """);

        assertThat(rates).isEqualTo("-1 20 13 10 19 10");
    }

    @Test
    void lostStreamIsShownAndReconnects() {
        try (var cable = new SwitchableTcpProxy(FLEET.getFirst().managementPort())) {
            open("olga:acts", cable.port());

            cable.cut();

            await().untilAsserted(() -> {
                assertThat(browser.text("#link")).isEqualTo("Not live");
                assertThat(browser.text("#lost")).contains("Not live since", "Reconnecting");
            });

            cable.restore();

            await().untilAsserted(() -> assertThat(browser.text("#link")).isEqualTo("Live"));
            assertThat(browser.find("#lost").isDisplayed()).isFalse();
            String clock = browser.text("#clock");
            await().untilAsserted(() -> assertThat(browser.text("#clock")).isNotEqualTo(clock));
            browser.driver().get("about:blank");
            // The console reports the lost connection.
            assertThat(browser.consoleWarnings()).isNotEmpty().allMatch(line -> line.contains("net::ERR_"));
        }
    }

    // ---- purge

    @Test
    void purgeFromDashboardRemovesEntry() {
        String path = "/products/purge-me";
        cacheStatusOf(0, path);
        for (int i = 0; i < REPLICAS; i++) {
            int replica = i;
            await().untilAsserted(() -> assertThat(cacheStatusOf(replica, path)).contains("; hit"));
        }
        assertThat(shop.count(path)).isEqualTo(1);

        assertThat(browser.find("#purge-now").isEnabled()).isFalse();
        choose("urls");
        enterNames(path);
        preview();

        assertThat(browser.text("#outcome")).contains(path, "fresh", "1 of ");
        assertThat(cacheStatusOf(1, path)).contains("; hit");
        browser.find("#purge-now").click();

        await().untilAsserted(
                () -> assertThat(browser.text("#outcome")).contains("Purged", "All 3 replicas acknowledged",
                        "corral-1", "corral-2", "corral-3", " ms"));
        assertThat(cacheStatusOf(1, path)).doesNotContain("; hit");
        assertThat(shop.count(path)).isEqualTo(2);
        await().untilAsserted(() -> assertThat(browser.text("#purges li:first-child")).contains(path, "removed",
                "by olga"));
        assertThat(browser.find("#purge-now").isEnabled()).isFalse();
    }

    @Test
    void purgeRequiresCurrentPreview() {
        enterNames("/products/1");
        preview();
        assertThat(browser.find("#purge-now").isEnabled()).isTrue();

        browser.find("#names").sendKeys("2");

        assertThat(browser.find("#purge-now").isEnabled()).isFalse();
        assertThat(browser.text("#outcome")).isEmpty();
    }

    @Test
    void everyTargetKindCanBeSoftPurged() {
        record Kind(String what, String names, String description) {}
        for (Kind kind : List.of(new Kind("tags", "sale\n<b>summer</b>", "tag:<b>summer</b>"),
                new Kind("prefixes", "/products/9", "/products/9"), new Kind("routes", "", "shop"))) {
            choose(kind.what);
            choose("soft");
            if (!kind.names.isEmpty()) {
                enterNames(kind.names);
            }
            preview();
            assertThat(browser.text("#outcome")).contains(kind.description);
            browser.find("#purge-now").click();
            await().untilAsserted(() -> assertThat(browser.text("#outcome")).contains("Made stale", kind.description));
            await().untilAsserted(
                    () -> assertThat(browser.text("#purges li:first-child")).contains(kind.description, "made stale"));
        }
        choose("all");
        preview();
        assertThat(browser.text("#purge-now")).isEqualTo("Purge everything");
    }

    @Test
    void invalidPurgeTargetIsExplained() {
        enterNames(" ");
        browser.find("#preview").click();
        await().untilAsserted(() -> assertThat(browser.text("#outcome")).contains("Enter at least one name"));
        assertThat(browser.driver().switchTo().activeElement()).isEqualTo(browser.find("#names"));

        enterNames("nonsense");
        browser.find("#preview").click();

        await().untilAsserted(() -> assertThat(browser.text("#outcome")).contains("urls[0]"));
        assertThat(browser.find("#purge-now").isEnabled()).isFalse();
        // The browser logs each rejected request.
        assertThat(browser.consoleWarnings()).allMatch(line -> line.contains("status of 400"));
    }

    @Test
    void viewerSeesNoPurgeForm() {
        open("ada:looks");

        assertThat(browser.find("#purge").isDisplayed()).isFalse();
        assertThat(browser.text("aside")).contains("Purging requires the operator role");
        await().untilAsserted(() -> assertThat(browser.number("#requests")).isPositive());
    }

    // ---- accessibility

    @Test
    void pageHasNoAccessibilityViolations() {
        enterNames("/products/1");
        preview();
        await().untilAsserted(() -> assertThat(browser.number("#requests")).isPositive());
        for (Viewport view : List.of(Viewport.DESKTOP, Viewport.DESKTOP_DARK, Viewport.PHONE)) {
            browser.setViewport(view);
            assertThat(browser.accessibilityViolations()).as(view.toString()).isEmpty();
        }
    }

    @Test
    void narrowViewportNeedsNoHorizontalScrolling() {
        browser.setViewport(Viewport.PHONE);
        enterNames("/products/a-rather-long-name-without-any-place-to-break-it-in-two?and=a&query=of-some-length");
        preview();

        for (int width : List.of(320, 390, 768, 1024)) {
            browser.setViewport(new Viewport(width, 700, false));
            await().untilAsserted(() -> assertThat(browser.runScript("return document.documentElement.scrollWidth"))
                    .isEqualTo((long) width));
        }
    }

    @Test
    void everyControlIsReachableByKeyboardWithVisibleFocus() {
        browser.driver().executeScript("document.activeElement.blur()");
        var reached = new ArrayList<String>();
        for (int i = 0; i < 10; i++) {
            browser.driver().switchTo().activeElement().sendKeys(Keys.TAB);
            reached.add(String.valueOf(browser.runScript("""
                    const at = document.activeElement;
                    const seen = at.matches('.choice input') ? at.nextElementSibling : at;
                    return (at.id || at.value || at.className || at.textContent)
                        + (getComputedStyle(seen).outlineStyle === 'none' && !at.matches('.skip') ? ' unseen' : '');
                    """)));
        }

        assertThat(reached.getFirst()).isEqualTo("skip");
        assertThat(reached).contains("urls", "names", "hard", "preview").noneMatch(each -> each.endsWith("unseen"));
    }

    // ---- the screenshot of the README

    /** {@code ./mvnw test -Dtest='DashboardIT#readmeScreenshot*' -Dcorral.picture=src/docs/dashboard.png}: five minutes of a sale. */
    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    @EnabledIfSystemProperty(named = "corral.picture", matches = ".+")
    void readmeScreenshotIsTaken() {
        var file = Path.of(System.getProperty("corral.picture"));
        waitFor(Duration.ofSeconds(100));
        purge("tags", "hard", "sale");
        waitFor(Duration.ofSeconds(80));
        purge("prefixes", "soft", "/products/1");
        waitFor(Duration.ofSeconds(95));
        purge("urls", "hard", "/products/1\n/products/7");
        waitFor(Duration.ofSeconds(25));
        // Only down to the replicas: the keys below change every second, and the picture is kept in the repository.
        browser.saveScreenshot(file, 1_060);
        assertThat(file).isNotEmptyFile();
    }

    private static void purge(String what, String how, String names) {
        choose(what);
        choose(how);
        enterNames(names);
        preview();
        browser.find("#purge-now").click();
        await().untilAsserted(() -> assertThat(browser.text("#outcome")).contains("All 3 replicas acknowledged"));
    }

    /** Lets the load continue for this time. */
    private static void waitFor(Duration time) {
        Awaitility.await().pollDelay(time).atMost(time.plusSeconds(30)).until(() -> true);
    }
}
