package dev.corral.origin;

import dev.corral.origin.OriginFailed.Reason;
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

import static dev.corral.origin.Rig.get;
import static dev.corral.origin.Rig.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

@Timeout(120)
@ExtendWith(LeakFree.class)
class TlsTest {

    private static final String PASSWORD = "changeit";

    @TempDir
    private Path directory = Path.of("");

    /** A key and its own certificate for that name, made on the spot. */
    private KeyStore certified(String name) throws Exception {
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

    private static Upstream at(int port, Optional<SslBundle> ssl) {
        Upstream plain = Rig.upstream(URI.create("https://127.0.0.1:" + port));
        return new Upstream(plain.id(), plain.base(), plain.timeout(), plain.maxBody(), plain.concurrency(),
                plain.connectionMaxLife(), ssl);
    }

    private static Optional<SslBundle> trusting(KeyStore store) {
        return Optional.of(SslBundle.of(SslStoreBundle.of(store, PASSWORD, store)));
    }

    private static void assertUnreachable(Rig rig) {
        assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOfSatisfying(OriginFailed.class,
                failure -> assertThat(failure.reason()).isEqualTo(Reason.UNREACHABLE));
    }

    @Test
    void anOriginTheBundleTrustsIsAsked() throws Exception {
        KeyStore store = certified("ip:127.0.0.1");
        DisposableServer server = serve(store);
        try (var rig = Rig.to(at(server.port(), trusting(store)))) {
            for (int i = 0; i < 3; i++) {
                assertThat(text(rig.whole(get("/")))).isEqualTo("secret");
            }
        } finally {
            server.disposeNow();
        }
    }

    @Test
    void anOriginTheJdkDoesNotTrustIsNotAsked() throws Exception {
        DisposableServer server = serve(certified("ip:127.0.0.1"));
        try (var rig = Rig.to(at(server.port(), Optional.empty()))) {
            assertUnreachable(rig);
        } finally {
            server.disposeNow();
        }
    }

    @Test
    void aCertificateForAnotherNameIsNotTrusted() throws Exception {
        KeyStore store = certified("dns:other.example");
        DisposableServer server = serve(store);
        try (var rig = Rig.to(at(server.port(), trusting(store)))) {
            assertUnreachable(rig);
        } finally {
            server.disposeNow();
        }
    }

    /** An origin whose answer nothing delimits; it closes TLS before the connection, or only the connection. */
    private static ScriptedOrigin unbounded(KeyStore store, boolean farewell) throws Exception {
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
    void aBodyWithoutLengthEndsWithTheFarewell() throws Exception {
        KeyStore store = certified("ip:127.0.0.1");
        try (var server = unbounded(store, true); var rig = Rig.to(at(server.uri().getPort(), trusting(store)))) {
            assertThat(text(rig.whole(get("/")))).isEqualTo("all there is");
        }
    }

    @Test
    void aBodyWithoutLengthIsCutShortByAConnectionClosedWithoutFarewell() throws Exception {
        KeyStore store = certified("ip:127.0.0.1");
        try (var server = unbounded(store, false); var rig = Rig.to(at(server.uri().getPort(), trusting(store)))) {
            assertThatThrownBy(() -> rig.whole(get("/"))).isInstanceOfSatisfying(OriginFailed.class,
                    failure -> assertThat(failure.reason()).isEqualTo(Reason.CUT_SHORT));
        }
    }

    @Test
    void anOriginThatSpeaksNoTlsIsUnreachable() throws Exception {
        try (var server = new ScriptedOrigin(peer -> peer.say("HTTP/1.1 400 Bad\r\n\r\n"));
                var rig = Rig.to(URI.create(server.uri().toString().replace("http:", "https:")))) {
            assertUnreachable(rig);
        }
    }
}
