package dev.corral.origin;

import dev.corral.origin.OriginFailedException.Reason;
import io.netty.handler.ssl.SslContextBuilder;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslStoreBundle;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;

import static dev.corral.origin.OriginFixture.getRequest;
import static dev.corral.origin.OriginFixture.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

@Timeout(120)
@ExtendWith(LeakGuard.class)
class OriginClientTlsTest {

    private static final String PASSWORD = "changeit";

    @TempDir
    private Path directory = Path.of("");

    /** Generates a key and a self-signed certificate for the name. */
    private KeyStore selfSignedKeyStore(String name) throws Exception {
        Path file = directory.resolve("store.p12");
        String keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        Process made = new ProcessBuilder(keytool, "-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", "-keystore",
                file.toString(), "-storepass", PASSWORD, "-alias", "origin", "-dname", "CN=origin", "-ext",
                "SAN=" + name)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        assertThat(made.waitFor(30, TimeUnit.SECONDS)).isTrue();
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(file)) {
            store.load(in, PASSWORD.toCharArray());
        }
        return store;
    }

    private static DisposableServer serve(KeyStore store) throws Exception {
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, PASSWORD.toCharArray());
        var context = SslContextBuilder.forServer(keys).build();
        return HttpServer.create()
                .host("127.0.0.1")
                .port(0)
                .secure(spec -> spec.sslContext(context))
                .handle((request, response) -> response.sendString(Mono.just("secret")))
                .bindNow();
    }

    private static OriginConfig configFor(int port, Optional<SslBundle> ssl) {
        OriginConfig plain = OriginFixture.config(URI.create("https://127.0.0.1:" + port));
        return new OriginConfig(plain.id(), plain.baseUri(), plain.timeout(), plain.maxObjectSize(),
                plain.maxConcurrentRequests(),
                plain.connectionMaxLifetime(), ssl);
    }

    private static Optional<SslBundle> bundleTrusting(KeyStore store) {
        return Optional.of(SslBundle.of(SslStoreBundle.of(store, PASSWORD, store)));
    }

    private static void assertUnreachable(OriginFixture fixture) {
        assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/"))).isInstanceOfSatisfying(
                OriginFailedException.class,
                failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));
    }

    @Test
    void originTrustedByTheSslBundleIsReached() throws Exception {
        KeyStore store = selfSignedKeyStore("ip:127.0.0.1");
        DisposableServer server = serve(store);
        try (var fixture = OriginFixture.forOrigin(configFor(server.port(), bundleTrusting(store)))) {
            for (int i = 0; i < 3; i++) {
                assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("secret");
            }
        } finally {
            server.disposeNow();
        }
    }

    @Test
    void untrustedCertificateIsRejected() throws Exception {
        DisposableServer server = serve(selfSignedKeyStore("ip:127.0.0.1"));
        try (var fixture = OriginFixture.forOrigin(configFor(server.port(), Optional.empty()))) {
            assertUnreachable(fixture);
        } finally {
            server.disposeNow();
        }
    }

    @Test
    void certificateForAnotherNameIsRejected() throws Exception {
        KeyStore store = selfSignedKeyStore("dns:other.example");
        DisposableServer server = serve(store);
        try (var fixture = OriginFixture.forOrigin(configFor(server.port(), bundleTrusting(store)))) {
            assertUnreachable(fixture);
        } finally {
            server.disposeNow();
        }
    }

    /** An origin whose response has no length; it closes TLS before the connection, or only the connection. */
    private static ScriptedOrigin originWithCloseDelimitedBody(KeyStore store, boolean farewell) throws Exception {
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, PASSWORD.toCharArray());
        var context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), new TrustManager[0], new SecureRandom());
        return new ScriptedOrigin(peer -> {
            var tls = peer.serveTls(context);
            for (int end = 0; end < 4;) {
                end = "\r\n\r\n".charAt(end) == tls.getInputStream().read() ? end + 1 : 0;
            }
            tls.getOutputStream().write("HTTP/1.1 200 OK\r\n\r\nall there is".getBytes(StandardCharsets.ISO_8859_1));
            if (farewell) {
                tls.close();
            }
        });
    }

    @Test
    void closeDelimitedBodyEndsWithCloseNotify() throws Exception {
        KeyStore store = selfSignedKeyStore("ip:127.0.0.1");
        try (var server = originWithCloseDelimitedBody(store, true);
                var fixture = OriginFixture.forOrigin(configFor(server.uri().getPort(), bundleTrusting(store)))) {
            assertThat(text(fixture.fetchBuffered(getRequest("/")))).isEqualTo("all there is");
        }
    }

    @Test
    void closeDelimitedBodyWithoutCloseNotifyIsTruncated() throws Exception {
        KeyStore store = selfSignedKeyStore("ip:127.0.0.1");
        try (var server = originWithCloseDelimitedBody(store, false);
                var fixture = OriginFixture.forOrigin(configFor(server.uri().getPort(), bundleTrusting(store)))) {
            assertThatThrownBy(() -> fixture.fetchBuffered(getRequest("/"))).isInstanceOfSatisfying(
                    OriginFailedException.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.TRUNCATED));
        }
    }

    @Test
    void originWithoutTlsIsUnreachable() throws Exception {
        try (var server = new ScriptedOrigin(peer -> peer.write("HTTP/1.1 400 Bad\r\n\r\n"));
                var fixture = OriginFixture.forOrigin(URI.create(server.uri().toString().replace("http:", "https:")))) {
            assertUnreachable(fixture);
        }
    }
}
