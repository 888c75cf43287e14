package dev.corral.config;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import dev.corral.CorralApplication;
import dev.corral.proxy.netty.ConnectionLimits;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.core.env.MapPropertySource;
import org.springframework.util.unit.DataSize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

/** An invalid setting stops the start with a message that names it and says what is valid. */
class CorralPropertiesTest {

    private static final Logger CONTEXT_LOGGER = (Logger) LoggerFactory
            .getLogger(AnnotationConfigApplicationContext.class);

    private static final String[] ONE_ROUTE = {"corral.routes[0].id=shop", "corral.routes[0].origin=http://shop:8080"};

    @Configuration(proxyBeanMethods = false)
    @EnableConfigurationProperties(CorralProperties.class)
    @Import(StrictBindHandlerAdvisor.class)
    static class PropertiesOnlyConfiguration {}

    /** Spring warns about each context that does not start. Here contexts are meant to fail. */
    @BeforeEach
    void silence() {
        CONTEXT_LOGGER.setLevel(Level.ERROR);
    }

    @AfterEach
    void restore() {
        CONTEXT_LOGGER.setLevel(null);
    }

    private static ApplicationContextRunner with(String... settings) {
        return new ApplicationContextRunner().withUserConfiguration(PropertiesOnlyConfiguration.class)
                .withPropertyValues(settings);
    }

    private static Arguments rejected(String setting, String... messageParts) {
        return arguments(setting, List.of(messageParts));
    }

    static List<Arguments> invalidSettings() {
        String route = "corral.routes[shop]";
        return List.of(rejected("corral.routes[0].id=a shop", "corral.routes[0]", ".id (a shop)", "letters, digits"),
                rejected("corral.routes[0].id=", ".id", "1 to 40"),
                rejected("corral.routes[0].id=" + "x".repeat(41), ".id", "1 to 40"),
                rejected("corral.routes[0].origin=shop:8080", route + ".origin (shop:8080)", "http or https URL"),
                rejected("corral.routes[0].origin=//shop:8080", route + ".origin", "http or https URL"),
                rejected("corral.routes[0].origin=ftp://shop", route + ".origin", "http or https URL"),
                rejected("corral.routes[0].origin=http:///products", route + ".origin", "with a host"),
                rejected("corral.routes[0].origin=http://my shop", route + ".origin (http://my%20shop)", "with a host"),
                rejected("corral.routes[0].origin=http://shop:0", route + ".origin", "port"),
                rejected("corral.routes[0].origin=http://shop:70000", route + ".origin", "port"),
                rejected("corral.routes[0].origin=http://shop?x=1", route + ".origin", "no user, query or fragment"),
                rejected("corral.routes[0].origin=http://shop/#top", route + ".origin", "no user, query or fragment"),
                rejected("corral.routes[0].path=products/**", route + ".path (products/**)", "must begin with /"),
                rejected("corral.routes[0].path=/products/{id", route + ".path (/products/{id)", "not a path pattern"),
                rejected("corral.routes[0].path=/**/products/**", route + ".path", "not a path pattern"),
                rejected("corral.routes[0].timeout=0s", route + ".timeout (PT0S)", "from 1ms to 10m"),
                rejected("corral.routes[0].timeout=-1s", route + ".timeout", "from 1ms to 10m"),
                rejected("corral.routes[0].timeout=601s", route + ".timeout", "from 1ms to 10m"),
                rejected("corral.routes[0].timeout=soon", "corral.routes[0].timeout", "soon", "java.time.Duration"),
                rejected("corral.routes[0].max-body=-1B", route + ".max-body", "from 0 to 256MB"),
                rejected("corral.routes[0].max-body=257MB", route + ".max-body", "from 0 to 256MB"),
                rejected("corral.routes[0].concurrency=0", route + ".concurrency (0)", "from 1 to 10000"),
                rejected("corral.routes[0].concurrency=-5", route + ".concurrency (-5)", "from 1 to 10000"),
                rejected("corral.routes[0].concurrency=10001", route + ".concurrency", "from 1 to 10000"),
                rejected("corral.routes[0].connection-max-life=999ms", route + ".connection-max-life", "from 1s to 1d"),
                rejected("corral.routes[0].connection-max-life=25h", route + ".connection-max-life", "from 1s to 1d"),
                rejected("corral.routes[0].hit-for-miss=0s", route + ".hit-for-miss", "from 1s to 1d"),
                rejected("corral.routes[0].hit-for-miss=-2m", route + ".hit-for-miss", "from 1s to 1d"),
                rejected("corral.routes[0].hit-for-miss=25h", route + ".hit-for-miss", "from 1s to 1d"),
                rejected("corral.routes[0].host=", route + ".host", "origin, client, or a host name"),
                rejected("corral.routes[0].host=my shop", route + ".host (my shop)", "origin, client, or a host name"),
                rejected("corral.routes[0].host=shop/x", route + ".host (shop/x)", "origin, client, or a host name"),
                rejected("corral.routes[0].query.exclude=utm_*,a*b", "query.exclude (a*b)", "* at its end"),
                rejected("corral.routes[0].allow-methods=GET", route + ".allow-methods (GET)", "PURGE, BAN, REFRESH"),
                rejected("corral.routes[0].request-headers.mode=lax", "request-headers.mode", "lax"),
                rejected("corral.routes[0].query.include[0]=*b", "query.include (*b)", "* at its end"),
                rejected("corral.routes[1].id=shop", "corral.routes[1]", "[shop].origin (not set)",
                        "http://shop.internal:8080"),
                rejected("corral.routes[1].origin=http://b", "corral.routes[1]", ".id (not set)", "letters, digits"),
                rejected("corral.lease.ttl=99ms", "corral.lease.ttl (PT0.099S)", "at least 100ms"),
                rejected("corral.lease.ttl=-2s", "corral.lease.ttl", "at least 100ms"),
                rejected("corral.waiters.per-key=0", "corral.waiters.per-key (0)", "at least 1"),
                rejected("corral.waiters.per-replica=9", "corral.waiters.per-key (10000)",
                        "at most corral.waiters.per-replica (9)"),
                rejected("corral.waiters.per-key=many", "corral.waiters.per-key", "many", "java.lang.Integer"),
                rejected("corral.near.size=-1B", "corral.near.size (-1B)", "0 or more"),
                rejected("corral.replica-id=a b", "corral.replica-id (a b)", "1 to 40 letters"),
                rejected("corral.replica-id=" + "r".repeat(41), "corral.replica-id", "1 to 40 letters"),
                rejected("corral.routes[0].ssl.bundle=shop", route + ".ssl.bundle (shop)", "https://"),
                rejected("corral.management.users[0].role=viewer", "corral.management.users[n].name (not set)",
                        "a name"),
                rejected("corral.management.users[0].name=a:b", "corral.management.users[n].name (a:b)", "colon"),
                rejected("corral.management.users[0].name=ada", "corral.management.users[ada].password (not set)"),
                rejected("corral.management.jwt.roles-claim=", "corral.management.jwt.roles-claim", "name of a claim"),
                rejected("corral.management.prometheus-open=perhaps", "corral.management.prometheus-open", "boolean"),
                rejected("corral.redis.key-prefix=", "corral.redis.key-prefix ()", "1 to 64 letters"),
                rejected("corral.redis.key-prefix=a b", "corral.redis.key-prefix (a b)", "1 to 64 letters"),
                rejected("corral.redis.key-prefix={a}", "corral.redis.key-prefix ({a})", "1 to 64 letters"),
                rejected("corral.redis.key-prefix=" + "p".repeat(65), "corral.redis.key-prefix", "1 to 64 letters"),
                rejected("corral.redis.key-prefix=corral:1", "corral.redis.key-prefix (corral:1)",
                        "not end in ':' and a number"),
                rejected("corral.purge.max-isolation=1s", "corral.purge.max-isolation (PT1S)", "from 2s to 24h"),
                rejected("corral.purge.max-isolation=25h", "corral.purge.max-isolation", "from 2s to 24h"),
                rejected("corral.purge.invalidation-wait=-1ms", "corral.purge.invalidation-wait", "from 0 to 10s"),
                rejected("corral.purge.invalidation-wait=11s", "corral.purge.invalidation-wait", "from 0 to 10s"),
                rejected("corral.routes[0].cache.invalidate-on-unsafe-methods=never",
                        "invalidate-on-unsafe-methods", "never", "boolean"),
                rejected("corral.warm-up.max=99ms", "corral.warm-up.max (PT0.099S)", "from 100ms to 1m"),
                rejected("corral.warm-up.max=61s", "corral.warm-up.max", "from 100ms to 1m"),
                rejected("corral.server.head-timeout=99ms", "corral.server.head-timeout (PT0.099S)",
                        "from 100ms to 1h"),
                rejected("corral.server.body-timeout=61m", "corral.server.body-timeout", "from 100ms to 1h"),
                rejected("corral.server.write-timeout=0s", "corral.server.write-timeout", "from 100ms to 1h"),
                rejected("corral.server.max-pipelined=0", "corral.server.max-pipelined (0)", "from 1 to 64"),
                rejected("corral.server.max-pipelined=65", "corral.server.max-pipelined", "from 1 to 64"),
                rejected("corral.shutdown.drain=-1s", "corral.shutdown.drain (PT-1S)", "from 0 to 5m"),
                rejected("corral.shutdown.drain=301s", "corral.shutdown.drain", "from 0 to 5m"),
                rejected("corral.coalesce=perhaps", "corral.coalesce", "perhaps", "boolean"));
    }

    @ParameterizedTest
    @MethodSource("invalidSettings")
    void invalidSettingStopsTheStartAndIsNamed(String setting, List<String> messageParts) {
        with(ONE_ROUTE).withPropertyValues(setting).run(context -> {
            assertThat(context).hasFailed();
            assertThat(messages(context.getStartupFailure())).contains(messageParts);
        });
    }

    @ParameterizedTest
    @MethodSource
    void unknownSettingStopsTheStart(String setting) {
        with(ONE_ROUTE).withPropertyValues(setting + "=1").run(context -> {
            assertThat(context).hasFailed();
            assertThat(messages(context.getStartupFailure())).contains(setting, "were left unbound");
        });
    }

    static List<String> unknownSettingStopsTheStart() {
        return List.of("corral.rutes", "corral.rutes[0].id", "corral.routes[0].timeuot", "corral.routes[0].maxbody2",
                "corral.lease.renew", "corral.waiters.per-node", "corral.routes[0].query.ignore", "corral.near.ttl");
    }

    @Test
    void missingRoutesStopTheStart() {
        with().run(context -> {
            assertThat(context).hasFailed();
            assertThat(messages(context.getStartupFailure())).contains("corral.routes is empty", "corral.routes[0].id",
                    "corral.routes[0].origin", "http://shop.internal:8080");
        });
    }

    @Test
    void duplicateRouteIdStopsTheStart() {
        with(ONE_ROUTE).withPropertyValues("corral.routes[1].id=shop", "corral.routes[1].origin=http://other")
                .run(context -> {
                    assertThat(context).hasFailed();
                    assertThat(messages(context.getStartupFailure())).contains("corral.routes", "id shop twice");
                });
    }

    @Test
    void passwordInOriginUrlIsNotPrinted() {
        with("corral.routes[0].id=shop", "corral.routes[0].origin=http://joe:secret@shop:8080").run(context -> {
            assertThat(context).hasFailed();
            assertThat(messages(context.getStartupFailure())).contains("corral.routes[shop].origin (http://shop)",
                    "no user, query or fragment").doesNotContain("secret");
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"{md5}5ebe2294ecd0e0f08eab7690d2a6ee69", "{bcrypt}0secret", "{bcrypt}$2a$10$short",
            "{noop}"})
    void malformedUserPasswordStopsTheStartAndIsNotPrinted(String password) {
        with(ONE_ROUTE).withPropertyValues("corral.management.users[0].name=ada",
                "corral.management.users[0].password=" + password).run(context -> {
                    assertThat(context).hasFailed();
                    assertThat(messages(context.getStartupFailure()))
                            .contains("corral.management.users[ada].password")
                            .doesNotContain("5ebe", "0secret", "short");
                });
    }

    @Test
    void duplicateUserNameStopsTheStart() {
        with(ONE_ROUTE).withPropertyValues("corral.management.users[0].name=ada",
                "corral.management.users[0].password=one", "corral.management.users[1].name=ada",
                "corral.management.users[1].password=two").run(context -> {
                    assertThat(context).hasFailed();
                    assertThat(messages(context.getStartupFailure())).contains("corral.management.users (ada)",
                            "two users of that name");
                });
    }

    @Test
    void userPasswordIsAbsentFromToString() {
        with(ONE_ROUTE).withPropertyValues("corral.management.users[0].name=ada",
                "corral.management.users[0].password=secret")
                .run(
                        context -> assertThat(context.getBean(CorralProperties.class).toString())
                                .contains("ada (VIEWER)")
                                .doesNotContain("secret"));
    }

    @Test
    void unsetSettingsHaveDefaults() {
        with(ONE_ROUTE).run(context -> {
            CorralProperties settings = context.getBean(CorralProperties.class);
            assertThat(settings.coalesce()).isTrue();
            assertThat(settings.replicaId()).isEmpty();
            assertThat(settings.redis().keyPrefix()).isEqualTo("corral");
            assertThat(settings.lease().ttl()).isEqualTo(Duration.ofSeconds(2));
            assertThat(settings.server().toConnectionLimits()).isEqualTo(ConnectionLimits.DEFAULT);
            assertThat(settings.routes()).singleElement().satisfies(route -> {
                assertThat(route.path()).isEqualTo("/**");
                assertThat(route.timeout()).isEqualTo(Duration.ofSeconds(5));
                assertThat(route.maxBody()).isEqualTo(DataSize.ofMegabytes(2));
                assertThat(route.concurrency()).isEqualTo(200);
                assertThat(route.connectionMaxLife()).isEqualTo(Duration.ofMinutes(1));
                assertThat(route.hitForMiss()).isEqualTo(Duration.ofMinutes(2));
                assertThat(route.host()).isEqualTo("origin");
                assertThat(route.query()).isEqualTo(new CorralProperties.QueryProperties(Set.of(), Set.of(), false));
            });
        });
    }

    /** A list comes from the first source that has one. Elements in other sources are then unused, not unknown. */
    @Test
    void longerListInLowerPrioritySourceIsIgnored() {
        with(ONE_ROUTE)
                .withInitializer(context -> context.getEnvironment()
                        .getPropertySources()
                        .addLast(new MapPropertySource("defaults", Map.of("corral.routes[0].id", "a",
                                "corral.routes[0].origin", "http://a", "corral.routes[1].id", "b",
                                "corral.routes[1].path", "/b"))))
                .run(context -> assertThat(context.getBean(CorralProperties.class).routes()).hasSize(1));
    }

    @Test
    void boundaryValuesAreAccepted() {
        with(ONE_ROUTE)
                .withPropertyValues("corral.routes[0].timeout=10m", "corral.routes[0].max-body=256MB",
                        "corral.routes[0].concurrency=10000", "corral.routes[0].hit-for-miss=1d",
                        "corral.routes[0].connection-max-life=1d", "corral.routes[1].connection-max-life=1s",
                        "corral.lease.ttl=100ms",
                        "corral.waiters.per-key=1", "corral.waiters.per-replica=1", "corral.near.size=0B",
                        "corral.replica-id=" + "r".repeat(40), "corral.redis.key-prefix=" + "p".repeat(64),
                        "corral.routes[0].host=[::1]:8080",
                        "corral.routes[1].id=b", "corral.routes[1].origin=https://b:65535/base",
                        "corral.routes[1].timeout=1ms", "corral.routes[1].max-body=0B",
                        "corral.routes[1].concurrency=1", "corral.routes[1].hit-for-miss=1s",
                        "corral.routes[1].query.exclude=utm,utm_*,_", "corral.routes[1].host=shop.example:80")
                .run(context -> assertThat(context).hasNotFailed());
    }

    /** An operator sees the reason only, without a stack trace. */
    @Test
    @ExtendWith(OutputCaptureExtension.class)
    void failedStartPrintsWhatToSetWithoutStackTrace(CapturedOutput output) {
        var application = new SpringApplicationBuilder(CorralApplication.class).web(WebApplicationType.NONE);

        assertThatThrownBy(application::run).isInstanceOf(Exception.class);

        assertThat(output.getAll()).contains("APPLICATION FAILED TO START", "corral.routes is empty",
                "corral.routes[0].origin").doesNotContain("\tat ");
    }

    private static String messages(Throwable failure) {
        var messages = new ArrayList<String>();
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            messages.add(String.valueOf(cause.getMessage()));
        }
        return String.join("\n", messages);
    }
}
