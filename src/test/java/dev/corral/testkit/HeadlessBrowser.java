package dev.corral.testkit;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.logging.Level;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.openqa.selenium.By;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.chrome.ChromeDriver;
import org.openqa.selenium.chrome.ChromeDriverService;
import org.openqa.selenium.chrome.ChromeOptions;
import org.openqa.selenium.logging.LogEntry;

/** A headless Chromium, driven by an installed chromedriver. Downloads nothing. Not thread-safe. */
public record HeadlessBrowser(ChromeDriver driver) implements AutoCloseable {

    /** Instructions when no browser is found. */
    public static final String BROWSER_MISSING_MESSAGE = "There is no Chromium with its chromedriver on this machine, so nobody has looked at the dashboard. "
            + "Install both (Debian: apt-get install chromium chromium-driver), or name them: -Dcorral.chromium=... "
            + "-Dcorral.chromedriver=...";

    /** The paths of the two programs. */
    public record BrowserBinaries(Path chromium, Path driver) {

        public static Optional<BrowserBinaries> locate() {
            return program("corral.chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
                    .flatMap(chromium -> program("corral.chromedriver", "chromedriver")
                            .map(driver -> new BrowserBinaries(chromium, driver)));
        }

        private static Optional<Path> program(String property, String... names) {
            String path = Optional.ofNullable(System.getenv("PATH")).orElse("");
            Stream<Path> onPath = Stream.of(names)
                    .flatMap(name -> Stream.of(path.split(File.pathSeparator, -1))
                            .filter(directory -> !directory.isEmpty())
                            .map(directory -> Path.of(directory, name)));
            return Stream.concat(Stream.ofNullable(System.getProperty(property)).map(Path::of), onPath)
                    .filter(Files::isExecutable)
                    .findFirst();
        }
    }

    /** Window size and color scheme. */
    public record Viewport(int width, int height, boolean dark) {

        public static final Viewport DESKTOP = new Viewport(1440, 900, false);
        public static final Viewport DESKTOP_DARK = new Viewport(1440, 900, true);
        public static final Viewport PHONE = new Viewport(320, 640, false);
    }

    public static HeadlessBrowser open(BrowserBinaries found) {
        var options = new ChromeOptions();
        options.setBinary(found.chromium().toFile());
        options.addArguments("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--hide-scrollbars");
        options.setCapability("goog:loggingPrefs", Map.of("browser", "ALL"));
        ChromeDriverService service = new ChromeDriverService.Builder()
                .usingDriverExecutable(found.driver().toFile())
                .usingAnyFreePort()
                .withTimeout(Duration.ofSeconds(60))
                .build();
        var driver = new ChromeDriver(service, options);
        driver.manage().timeouts().scriptTimeout(Duration.ofSeconds(60)).pageLoadTimeout(Duration.ofSeconds(60));
        return new HeadlessBrowser(driver);
    }

    public void setViewport(Viewport view) {
        driver.executeCdpCommand("Emulation.setDeviceMetricsOverride", Map.of("width", view.width, "height",
                view.height, "deviceScaleFactor", 1, "mobile", view.width < 500));
        driver.executeCdpCommand("Emulation.setEmulatedMedia", Map.of("features",
                List.of(Map.of("name", "prefers-color-scheme", "value", view.dark ? "dark" : "light"))));
    }

    public WebElement find(String selector) {
        return driver.findElement(By.cssSelector(selector));
    }

    public List<WebElement> findAll(String selector) {
        return driver.findElements(By.cssSelector(selector));
    }

    public String text(String selector) {
        return find(selector).getText();
    }

    /** The value of a number on the page, without thousands separators and unit. */
    public double number(String selector) {
        return Double.parseDouble(text(selector).replaceAll("[^0-9.]", ""));
    }

    /** Runs a script in the page as the body of an async function. */
    @Nullable
    public Object runScript(String script, Object... arguments) {
        return driver.executeAsyncScript("const done = arguments[arguments.length - 1]; (async (...given) => {" + script
                + "})(...arguments).then(done, failed => done('failed: ' + failed))", arguments);
    }

    /** Returns the console errors since the last call. */
    public List<String> consoleWarnings() {
        return driver.manage()
                .logs()
                .get("browser")
                .getAll()
                .stream()
                .filter(entry -> entry.getLevel().intValue() >= Level.WARNING.intValue())
                .map(LogEntry::getMessage)
                .toList();
    }

    /** The accessibility violations (WCAG 2.2 AA and best practices of axe-core), each with its element. */
    @SuppressWarnings("unchecked") // scripts return lists of strings
    public List<String> accessibilityViolations() {
        driver.executeScript(axeScript());
        Object found = Objects.requireNonNull(runScript("""
                // Colors in transition would be wrong.
                await Promise.allSettled(document.getAnimations().map(animation => animation.finished));
                const {violations} = await axe.run(document, {resultTypes: ['violations']});
                return violations.map(one => one.id + ': ' + one.help + ' ' + one.nodes.map(node => node.target + ' '
                    + (node.any[0]?.message ?? '')).join(', '));
                """));
        return (List<String>) found;
    }

    private static String axeScript() {
        try (InputStream in = HeadlessBrowser.class.getResourceAsStream("/axe.min.js")) {
            return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A screenshot of the page from its top, with this height in pixels. */
    public void saveScreenshot(Path file, int height) {
        Object width = driver.executeScript("return innerWidth");
        Map<String, Object> picture = driver.executeCdpCommand("Page.captureScreenshot", Map.of("format", "png",
                "captureBeyondViewport", true, "clip",
                Map.of("x", 0, "y", 0, "width", width, "height", height, "scale", 1)));
        try {
            Files.createDirectories(file.toAbsolutePath().getParent());
            Files.write(file, Base64.getDecoder().decode(String.valueOf(picture.get("data"))));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        driver.quit();
    }
}
