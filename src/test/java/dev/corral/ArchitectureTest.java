package dev.corral;

import com.tngtech.archunit.core.domain.JavaCall;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMember;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.context.annotation.ComponentScan;
import org.springframework.context.annotation.Configuration;
import org.springframework.stereotype.Component;
import org.springframework.stereotype.Repository;
import org.springframework.stereotype.Service;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.lang.conditions.ArchConditions.be;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noFields;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.GeneralCodingRules.NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static java.util.Map.entry;
import static org.assertj.core.api.Assertions.assertThat;

/** The allowed dependencies between packages (docs/ARCHITECTURE.md), and rules for every class. A new package is added here first. */
@AnalyzeClasses(packages = "dev.corral", importOptions = ImportOption.DoNotIncludeTests.class)
final class ArchitectureTest {

    private static final String ROOT = "dev.corral";
    private static final String CONFIG = "dev.corral.config";
    private static final String COALESCE = "dev.corral.coalesce";
    private static final String HTTP = "dev.corral.http";
    private static final String CACHE = "dev.corral.cache";

    private static final Set<String> DENIED_WORDS = Set.of("told", "tell", "tells", "ours", "mine", "anew", "afresh",
            "aside", "asked", "answer", "answers", "heard", "hear", "hears", "aboard", "board", "boards", "landed",
            "landing", "course", "lane", "visit", "visits", "passage", "ear", "rung", "latch", "wish", "odd",
            "whoever");

    private static final int MAX_LINES = 300;

    /** Files of main that are longer, with the reason. */
    private static final Map<String, String> LONG_FILES = Map.ofEntries(
            entry("CacheHandler", "the way of a request, to be read on one page"),
            entry("CacheInspector", "one report for operators"),
            entry("Coalescer", "one algorithm with its contract; FlightProtocol shares its state"),
            entry("ConnectionGuard", "one state machine of a connection"),
            entry("CorralConfiguration", "the beans of all packages"),
            entry("CorralProperties", "one record for each group of settings, with its documentation"),
            entry("FillFetch", "one decision: what a response is stored as, and for whom"),
            entry("FleetMonitor", "one view of the fleet and its history"),
            entry("OriginExchange", "one state machine of an exchange"),
            entry("PurgeStream", "the Lua scripts of the purge log and their arguments"),
            entry("RedisCircuitBreaker", "one state machine of availability"),
            entry("RedisConnections", "the connections to one Redis, whatever its topology"),
            entry("RedisPurgeRegistry", "one protocol with its contract"),
            entry("RedisTier", "one implementation of SharedTier"),
            entry("ReplicaRegistry", "the Lua scripts of the fleet and their arguments"),
            entry("ResponseBodyReader", "one state machine of a body"),
            entry("StorabilityRules", "RFC 9111 section 3, rule by rule"));

    // @formatter:off
    @ArchTest
    static final ArchRule packagesDependOnlyOnAllowedPackages = layeredArchitecture()
            .consideringOnlyDependenciesInAnyPackage("dev.corral..")
            .layer("root").definedBy(ROOT)
            .layer("config").definedBy(CONFIG)
            .layer("management").definedBy("dev.corral.management..")
            .layer("proxy").definedBy("dev.corral.proxy..")
            .layer("redis").definedBy("dev.corral.redis..")
            .layer("near").definedBy("dev.corral.near")
            .layer("origin").definedBy("dev.corral.origin")
            .layer("cache").definedBy(CACHE)
            .layer("coalesce").definedBy(COALESCE)
            .layer("purge").definedBy("dev.corral.purge")
            .layer("memory").definedBy("dev.corral.memory")
            .layer("http").definedBy(HTTP)
            .whereLayer("root").mayOnlyAccessLayers("config")
            .whereLayer("config").mayOnlyBeAccessedByLayers("root")
            .whereLayer("management").mayOnlyAccessLayers("proxy", "redis", "near", "origin", "cache", "coalesce", "purge", "http")
            .whereLayer("proxy").mayOnlyAccessLayers("origin", "cache", "coalesce", "purge", "memory", "http")
            .whereLayer("redis").mayOnlyAccessLayers("coalesce", "purge", "memory")
            .whereLayer("near").mayOnlyAccessLayers("coalesce", "purge")
            .whereLayer("origin").mayOnlyAccessLayers("http")
            .whereLayer("cache").mayOnlyAccessLayers("http")
            .whereLayer("coalesce").mayNotAccessAnyLayer()
            .whereLayer("purge").mayNotAccessAnyLayer()
            .whereLayer("memory").mayNotAccessAnyLayer()
            .whereLayer("http").mayNotAccessAnyLayer()
            .ensureAllClassesAreContainedInArchitecture();
    // @formatter:on

    @ArchTest
    static final ArchRule packagesAreFreeOfCycles = slices().matching("dev.corral.(**)")
            .should()
            .beFreeOfCycles();

    @ArchTest
    static final ArchRule httpDependsOnTheJdkOnly = classes().that()
            .resideInAPackage(HTTP)
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage(HTTP, "java..", "org.jspecify..", "org.greenbytes..")
            .as("http knows the JDK and the syntax of structured fields only");

    @ArchTest
    static final ArchRule cacheDependsOnHttpOnly = classes().that()
            .resideInAPackage(CACHE)
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage(CACHE, HTTP, "java..", "org.jspecify..", "com.google.protobuf..")
            .as("cache knows http, the JDK and the wire format of entries only");

    @ArchTest
    static final ArchRule coalesceDependsOnReactorOnly = classes().that()
            .resideInAnyPackage(COALESCE, "dev.corral.purge", "dev.corral.memory")
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage(COALESCE, "dev.corral.purge", "dev.corral.memory", "java..", "org.jspecify..",
                    "org.reactivestreams..", "reactor.core..", "reactor.util..")
            .as("coalesce, purge and memory know the JDK and Reactor only");

    @ArchTest
    static final ArchRule timeAndRandomnessAreArguments = noClasses().that()
            .resideInAnyPackage(COALESCE, HTTP, CACHE, "dev.corral.purge")
            .should()
            .callCodeUnitWhere(describe("it asks for the time or a random number", ArchitectureTest::isUnpredictable))
            .because("coalesce runs in a simulation, and a decision about HTTP depends on its arguments alone");

    @ArchTest
    static final ArchRule configurationClassesAreInConfigOnly = noClasses().that()
            .resideOutsideOfPackages(ROOT, CONFIG)
            .should()
            .beMetaAnnotatedWith(Configuration.class)
            .orShould()
            .beMetaAnnotatedWith(ConfigurationProperties.class)
            .orShould()
            .beMetaAnnotatedWith(EnableAutoConfiguration.class);

    @ArchTest
    static final ArchRule beansAreDefinedExplicitly = noClasses()
            .should()
            .dependOnClassesThat()
            .belongToAnyOf(Autowired.class, Value.class, ComponentScan.class,
                    SpringBootApplication.class, Component.class, Service.class, Repository.class)
            .because("each bean is one method of a configuration class, and gets what it needs by its constructor");

    /** One word, one meaning: a simple name says which type is meant. */
    @ArchTest
    static void simpleNamesAreUnique(JavaClasses classes) {
        Map<String, List<String>> byName = classes.stream()
                .filter(type -> !type.isAnonymousClass() && !type.isLocalClass()
                        && !type.getSimpleName().equals("package-info"))
                .collect(Collectors.groupingBy(JavaClass::getSimpleName,
                        Collectors.mapping(JavaClass::getName, Collectors.toList())));

        assertThat(byName).allSatisfy((name, types) -> assertThat(types).as(name).hasSize(1));
    }

    /** Words that say nothing to an engineer who knows HTTP, Spring and Redis: docs/GLOSSARY.md has those that do. */
    @ArchTest
    static void identifiersAvoidTheDeniedWords(JavaClasses classes) {
        Stream<String> types = classes.stream()
                .filter(type -> !type.isAnonymousClass())
                .map(JavaClass::getSimpleName);
        Stream<String> members = classes.stream()
                .flatMap(type -> type.getMembers().stream())
                .filter(member -> !member.getModifiers().contains(JavaModifier.SYNTHETIC))
                .map(JavaMember::getName);

        assertThat(Stream.concat(types, members).distinct())
                .allSatisfy(name -> assertThat(wordsOf(name)).as(name).doesNotContainAnyElementsOf(DENIED_WORDS));
    }

    private static List<String> wordsOf(String identifier) {
        return Stream.of(identifier.split("_|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", -1))
                .map(word -> word.toLowerCase(Locale.ROOT))
                .toList();
    }

    /** A longer file needs a reason here. */
    @ArchTest
    static void filesAreShort(JavaClasses classes) throws IOException {
        try (Stream<Path> files = Files.walk(Path.of("src/main/java"))) {
            List<String> tooLong = files.filter(file -> file.toString().endsWith(".java"))
                    .filter(file -> lineCount(file) > MAX_LINES)
                    .map(file -> file.toFile().getName().replace(".java", ""))
                    .sorted()
                    .toList();

            assertThat(tooLong).containsExactlyElementsOf(LONG_FILES.keySet().stream().sorted().toList());
        }
    }

    private static long lineCount(Path file) {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Anonymous classes and enums cannot be extended, although their byte code is not final. */
    @ArchTest
    static final ArchRule classesAreFinalOrSealed = classes().that()
            .areNotInterfaces()
            .and()
            .areNotEnums()
            .and()
            .areNotAnonymousClasses()
            .should(be(describe("final or sealed", ArchitectureTest::isFinalOrSealed)))
            .andShould()
            .notHaveModifier(JavaModifier.ABSTRACT)
            .because("behaviour is added by wrapping");

    @ArchTest
    static final ArchRule staticFieldsAreFinal = fields().that().areStatic().should().beFinal();

    @ArchTest
    static final ArchRule staticFieldsHoldNoSharedState = noFields().that()
            .areStatic()
            .should()
            .haveRawType(describe("made to be changed by threads", ArchitectureTest::isSharedState));

    @ArchTest
    static final ArchRule classNamesAvoidGenericSuffixes = noClasses()
            .should()
            .haveNameMatching(".*[.$](\\w+(Service|Impl|Manager|Helper|Utils?)|(Abstract|Base|Default)[A-Z]\\w*)");

    @ArchTest
    static final ArchRule standardStreamsAreNotUsed = NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;

    @ArchTest
    static final ArchRule javaUtilLoggingIsNotUsed = noClasses().should()
            .dependOnClassesThat()
            .resideInAPackage("java.util.logging..");

    @ArchTest
    static final ArchRule everyPackageIsNullMarked = classes()
            .should(be(describe("in a package whose package-info says @NullMarked",
                    (JavaClass each) -> each.getPackage().isAnnotatedWith(NullMarked.class))));

    private static boolean isUnpredictable(JavaCall<?> call) {
        JavaClass owner = call.getTargetOwner();
        String name = call.getName();
        return switch (owner.getName()) {
            case "java.lang.System" -> name.equals("currentTimeMillis") || name.equals("nanoTime");
            case "java.time.Clock" -> name.startsWith("system") || name.startsWith("tick");
            case "java.util.UUID" -> name.equals("randomUUID");
            case "java.lang.Math" -> name.equals("random");
            case "java.util.Random", "java.security.SecureRandom" -> true;
            case "java.util.concurrent.ThreadLocalRandom" -> name.equals("current");
            case "java.util.Date" -> call.getTarget().getRawParameterTypes().isEmpty() && name.equals("<init>");
            default -> owner.getPackageName().equals("java.time") && name.equals("now");
        };
    }

    private static boolean isFinalOrSealed(JavaClass type) {
        return type.getModifiers().contains(JavaModifier.FINAL) || type.isSealed();
    }

    private static boolean isSharedState(JavaClass type) {
        return type.isAssignableTo(ThreadLocal.class)
                || (type.getPackageName().startsWith("java.util.concurrent") && !type.isEquivalentTo(TimeUnit.class));
    }
}
