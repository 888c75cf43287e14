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

/** Which room may know which, and what every class of the house has in common. A new room is drawn here first. */
@AnalyzeClasses(packages = "dev.corral", importOptions = ImportOption.DoNotIncludeTests.class)
final class HousePlanTest {

    private static final String FRONT_DOOR = "dev.corral";
    private static final String COALESCE = "dev.corral.coalesce";
    private static final String HTTP = "dev.corral.http";

    // @formatter:off
    @ArchTest
    static final ArchRule aRoomKnowsOnlyWhatThePlanAllows = layeredArchitecture()
            .consideringOnlyDependenciesInAnyPackage("dev.corral..")
            .withOptionalLayers(true)
            .layer("front door").definedBy(FRONT_DOOR)
            .layer("coalesce").definedBy(COALESCE)
            .layer("http").definedBy(HTTP)
            .layer("tier").definedBy("dev.corral.tier")
            .layer("origin").definedBy("dev.corral.origin")
            .layer("edge").definedBy("dev.corral.edge")
            .layer("ops").definedBy("dev.corral.ops")
            .whereLayer("front door").mayNotBeAccessedByAnyLayer()
            .whereLayer("coalesce").mayNotAccessAnyLayer()
            .whereLayer("http").mayNotAccessAnyLayer()
            .whereLayer("tier").mayOnlyAccessLayers("coalesce")
            .whereLayer("origin").mayOnlyAccessLayers("http")
            .whereLayer("edge").mayOnlyAccessLayers("coalesce", "http", "origin")
            .whereLayer("ops").mayOnlyAccessLayers("coalesce")
            .ensureAllClassesAreContainedInArchitecture();
    // @formatter:on

    @ArchTest
    static final ArchRule noWayLeadsBackToTheSameRoom = slices().matching("dev.corral.(*)..")
            .should()
            .beFreeOfCycles();

    @ArchTest
    static final ArchRule httpKnowsTheJdkOnly = classes().that()
            .resideInAPackage(HTTP)
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage(HTTP, "java..", "org.jspecify..", "org.greenbytes..", "com.google.protobuf..")
            .as("http knows the JDK, the structured fields' syntax and the wire format of entries only");

    @ArchTest
    static final ArchRule coalesceKnowsReactorOnly = classes().that()
            .resideInAPackage(COALESCE)
            .should()
            .onlyDependOnClassesThat()
            .resideInAnyPackage(COALESCE, "java..", "org.jspecify..", "org.reactivestreams..", "reactor.core..",
                    "reactor.util..")
            .as("coalesce knows the JDK and Reactor only");

    @ArchTest
    static final ArchRule timeAndChanceAreArguments = noClasses().that()
            .resideInAnyPackage(COALESCE, HTTP)
            .should()
            .callCodeUnitWhere(describe("it asks for the time or for chance", HousePlanTest::isUnpredictable))
            .because("coalesce must run in a simulation, and http must give one answer to one question");

    @ArchTest
    static final ArchRule wiringIsAtTheFrontDoor = noClasses().that()
            .resideOutsideOfPackage(FRONT_DOOR)
            .should()
            .beMetaAnnotatedWith(Configuration.class)
            .orShould()
            .beMetaAnnotatedWith(ConfigurationProperties.class)
            .orShould()
            .beMetaAnnotatedWith(EnableAutoConfiguration.class);

    @ArchTest
    static final ArchRule wiringIsExplicit = noClasses()
            .should()
            .dependOnClassesThat()
            .belongToAnyOf(Autowired.class, Value.class, ComponentScan.class,
                    SpringBootApplication.class, Component.class, Service.class, Repository.class)
            .because("each bean is one method of Wiring, and gets what it needs by its constructor");

    /** An anonymous class or an enum cannot be extended, though the byte code does not say so. */
    @ArchTest
    static final ArchRule nothingIsMadeToBeExtended = classes().that()
            .areNotInterfaces()
            .and()
            .areNotEnums()
            .and()
            .areNotAnonymousClasses()
            .should(be(describe("final or sealed", HousePlanTest::isFinalOrSealed)))
            .andShould()
            .notHaveModifier(JavaModifier.ABSTRACT)
            .because("behaviour is added by wrapping");

    @ArchTest
    static final ArchRule noStaticIsAssigned = fields().that().areStatic().should().beFinal();

    @ArchTest
    static final ArchRule noStaticHoldsState = noFields().that()
            .areStatic()
            .should()
            .haveRawType(describe("made to be changed by threads", HousePlanTest::isSharedState));

    @ArchTest
    static final ArchRule aNameSaysWhatItIs = noClasses()
            .should()
            .haveNameMatching(".*[.$](\\w+(Service|Impl|Manager|Helper|Utils?)|(Abstract|Base|Default)[A-Z]\\w*)");

    @ArchTest
    static final ArchRule standardStreamsAreNoLog = NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;

    @ArchTest
    static final ArchRule javaUtilLoggingIsNotTheLog = noClasses().should()
            .dependOnClassesThat()
            .resideInAPackage("java.util.logging..");

    @ArchTest
    static final ArchRule everyRoomIsNullMarked = classes()
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
