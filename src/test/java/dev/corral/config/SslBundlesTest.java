package dev.corral.config;

import dev.corral.dev.EmbeddedRedis;
import dev.corral.dev.TestCertificate;
import dev.corral.testkit.InProcessReplica;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** TLS with Spring's SSL bundles on both ports and to origins. New certificates are used without a restart. */
class SslBundlesTest {

    private static final Duration RELOAD_TIMEOUT = Duration.ofSeconds(30);

    private static EmbeddedRedis redis;

    @TempDir
    private Path directory = Path.of("");

    @BeforeAll
    static void start() {
        redis = InProcessReplica.startRedis();
    }

    @AfterAll
    static void stop() {
        redis.close();
    }

    private static Map<String, String> settings(String origin) {
        Map<String, String> settings = new HashMap<>(redis.settings());
        settings.put("corral.routes[0].id", "shop");
        settings.put("corral.routes[0].origin", origin);
        settings.put("corral.management.users[0].name", "ada");
        settings.put("corral.management.users[0].password", "test");
        return settings;
    }

    // ---- ports

    /** The response of the port to a client that trusts only this certificate. */
    private static X509Certificate presentedCertificate(int port, TestCertificate trusted) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setCertificateEntry("trusted", trusted.x509());
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", port)) {
            socket.setSoTimeout(10_000);
            socket.startHandshake();
            return (X509Certificate) socket.getSession().getPeerCertificates()[0];
        }
    }

    private static boolean presents(int port, TestCertificate certificate) {
        try {
            return presentedCertificate(port, certificate).equals(certificate.x509());
        } catch (SSLException another) {
            return false;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void portsUseSeparateCertificatesAndReloadThem() {
        TestCertificate clients = TestCertificate.make(directory, "clients");
        TestCertificate operators = TestCertificate.make(directory, "operators");
        Map<String, String> settings = settings("http://127.0.0.1:1");
        settings.putAll(clients.bundle("clients", clients));
        settings.putAll(operators.bundle("operators", operators));
        settings.put("server.ssl.bundle", "clients");
        settings.put("management.server.ssl.bundle", "operators");
        try (var replica = InProcessReplica.start(settings)) {
            assertThat(presents(replica.port(), clients)).isTrue();
            assertThat(presents(replica.managementPort(), operators)).isTrue();
            assertThat(presents(replica.managementPort(), clients)).isFalse();
            assertThatThrownBy(() -> replica.requestManagement("GET", "/actuator/health"))
                    .isInstanceOf(IllegalStateException.class)
                    .hasCauseInstanceOf(IOException.class);

            TestCertificate newClients = TestCertificate.make(directory, "clients");
            TestCertificate newOperators = TestCertificate.make(directory, "operators");

            Awaitility.await().atMost(RELOAD_TIMEOUT).until(() -> presents(replica.port(), newClients));
            Awaitility.await().atMost(RELOAD_TIMEOUT).until(() -> presents(replica.managementPort(), newOperators));
            assertThat(presents(replica.port(), clients)).isFalse();
        }
    }

    // ---- origins

    /** An origin that responds only to clients with this certificate. */
    private static DisposableServer origin(int port, TestCertificate own, TestCertificate client)
            throws SSLException {
        SslContext context = SslContextBuilder.forServer(own.certificate().toFile(), own.key().toFile())
                .trustManager(client.x509())
                .clientAuth(ClientAuth.REQUIRE)
                .build();
        return HttpServer.create()
                .host("127.0.0.1")
                .port(port)
                .secure(spec -> spec.sslContext(context))
                // A separate connection and handshake for each request.
                .handle((request, response) -> response.keepAlive(false)
                        .header("Cache-Control", "no-store")
                        .sendString(Mono.just("secret")))
                .bindNow();
    }

    private static int status(InProcessReplica replica) {
        return replica.request("GET", "/secret").statusCode();
    }

    @Test
    void routeBundleIsReloadedForOriginTrustAndClientCertificate() throws Exception {
        TestCertificate client = TestCertificate.make(directory, "client");
        TestCertificate server = TestCertificate.make(directory, "server");
        DisposableServer origin = origin(0, server, client);
        Map<String, String> settings = settings("https://127.0.0.1:" + origin.port());
        settings.put("corral.routes[0].ssl.bundle", "shop");
        settings.putAll(client.bundle("shop", server));
        try (var replica = InProcessReplica.start(settings)) {
            for (int i = 0; i < 3; i++) {
                assertThat(replica.request("GET", "/secret").body()).isEqualTo("secret");
            }
            origin.disposeNow();

            // The origin has a new certificate while the old one is still the trusted one.
            TestCertificate unknown = TestCertificate.make(directory, "unknown");
            origin = origin(origin.port(), unknown, client);
            assertThat(status(replica)).isEqualTo(502);
            origin.disposeNow();

            // Both certificates and their files are new.
            TestCertificate newClient = TestCertificate.make(directory, "client");
            TestCertificate newServer = TestCertificate.make(directory, "server");
            origin = origin(origin.port(), newServer, newClient);
            Awaitility.await().atMost(RELOAD_TIMEOUT).until(() -> status(replica) == 200);
        } finally {
            origin.disposeNow();
        }
    }

    @Test
    void untrustedOriginCertificateIsBadGateway() throws Exception {
        TestCertificate server = TestCertificate.make(directory, "server");
        DisposableServer origin = origin(0, server, server);
        try (var replica = InProcessReplica.start(settings("https://127.0.0.1:" + origin.port()))) {
            assertThat(status(replica)).isEqualTo(502);
        } finally {
            origin.disposeNow();
        }
    }

    /** A broken file keeps the previous certificate. */
    @Test
    void brokenCertificateFileKeepsThePreviousOne() throws IOException, GeneralSecurityException {
        TestCertificate clients = TestCertificate.make(directory, "clients");
        Map<String, String> settings = settings("http://127.0.0.1:1");
        settings.putAll(clients.bundle("clients", clients));
        settings.put("server.ssl.bundle", "clients");
        try (var replica = InProcessReplica.start(settings)) {
            Files.writeString(clients.certificate(), "broken");
            assertThat(presents(replica.port(), clients)).isTrue();

            TestCertificate next = TestCertificate.make(directory, "clients");

            Awaitility.await().atMost(RELOAD_TIMEOUT).until(() -> presents(replica.port(), next));
        }
    }
}
