package dev.corral;

import com.tngtech.archunit.core.domain.JavaCall;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import java.util.concurrent.TimeUnit;
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

/** The allowed dependencies between packages (docs/ARCHITECTURE.md), and rules for every class. A new package is added here first. */
@AnalyzeClasses(packages = "dev.corral", importOptions = ImportOption.DoNotIncludeTests.class)
final class ArchitectureTest {

    private static final String ROOT = "dev.corral";
    private static final String CONFIG = "dev.corral.config";
    private static final String COALESCE = "dev.corral.coalesce";
    private static final String HTTP = "dev.corral.http";
    private static final String CACHE = "dev.corral.cache";

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
