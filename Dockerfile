# docker build -t corral .                        the service
# docker build -t corral-demo --target demo .     the demo shop, an origin to try it with

ARG JDK=eclipse-temurin:25.0.3_9-jdk-noble
ARG JRE=eclipse-temurin:25.0.3_9-jre-noble

FROM ${JDK} AS build
WORKDIR /build
COPY mvnw pom.xml ./
COPY .mvn .mvn
COPY src src
# Without tests: they need a Redis and more time than an image build should take.
RUN --mount=type=cache,target=/root/.m2 \
    ./mvnw --batch-mode --no-transfer-progress -DskipTests -Dspotless.check.skip package \
 && java -Djarmode=tools -jar target/corral.jar extract --layers --destination target/layers/corral \
 && java -Djarmode=tools -jar target/corral-demo.jar extract --layers --destination target/layers/demo

# The JRE, an unprivileged user, and a directory for settings: config/application.yml. CORRAL_... variables work too.
FROM ${JRE} AS runtime
USER 10001:10001
WORKDIR /opt/corral
# For Docker; Kubernetes uses its own probes. The base image contains bash but not curl.
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --retries=3 CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/${HEALTH_PORT:-8081} && printf 'GET %s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' \"${HEALTH_PATH:-/actuator/health/readiness}\" >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

FROM runtime AS demo
ENV HEALTH_PORT=8090 HEALTH_PATH=/count
COPY --from=build /build/target/layers/demo/dependencies/ ./
COPY --from=build /build/target/layers/demo/snapshot-dependencies/ ./
COPY --from=build /build/target/layers/demo/application/ ./
EXPOSE 8090
ENTRYPOINT ["java", "-XX:+IgnoreUnrecognizedVMOptions", "--enable-native-access=ALL-UNNAMED", \
  "--sun-misc-unsafe-memory-access=allow", "-XX:MaxRAMPercentage=50", "-jar", "corral-demo.jar"]
# Port, response time in milliseconds, listen address.
CMD ["8090", "120", "0.0.0.0"]

FROM runtime AS corral
COPY --from=build /build/target/layers/corral/dependencies/ ./
COPY --from=build /build/target/layers/corral/snapshot-dependencies/ ./
COPY --from=build /build/target/layers/corral/application/ ./
EXPOSE 8080 8081
# The heap gets half of the container's memory, because bodies are also in Netty's direct buffers. Additional flags:
# JDK_JAVA_OPTIONS.
ENTRYPOINT ["java", "-XX:+IgnoreUnrecognizedVMOptions", "--enable-native-access=ALL-UNNAMED", \
  "--sun-misc-unsafe-memory-access=allow", "-XX:MaxRAMPercentage=50", "-XX:+ExitOnOutOfMemoryError", "-jar", "corral.jar"]
