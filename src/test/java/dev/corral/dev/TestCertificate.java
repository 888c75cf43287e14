package dev.corral.dev;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A private key and a self-signed certificate for one test, as PEM files.
 *
 * @param certificate the file with the certificate, which is its own issuer
 * @param key         the file with the private key
 */
public record TestCertificate(X509Certificate x509, Path certificate, Path key) {

    private static final String PASSWORD = "changeit";

    /** Makes {@code name.crt} and {@code name.key} for localhost and 127.0.0.1; what has these names is replaced in one step. */
    public static TestCertificate make(Path directory, String name) {
        try {
            KeyStore store = store(directory, name);
            X509Certificate x509 = (X509Certificate) store.getCertificate("one");
            return new TestCertificate(x509, pem(directory.resolve(name + ".crt"), "CERTIFICATE", x509.getEncoded()),
                    pem(directory.resolve(name + ".key"), "PRIVATE KEY",
                            store.getKey("one", PASSWORD.toCharArray()).getEncoded()));
        } catch (IOException | GeneralSecurityException e) {
            throw new IllegalStateException("no certificate for " + name, e);
        }
    }

    /** What Spring must be told to have this as the bundle of that name, in PEM, trusting that certificate. */
    public Map<String, String> bundle(String name, TestCertificate trusted) {
        String prefix = "spring.ssl.bundle.pem." + name + ".";
        return Map.of(prefix + "keystore.certificate", certificate.toUri().toString(), prefix + "keystore.private-key",
                key.toUri().toString(), prefix + "truststore.certificate", trusted.certificate.toUri().toString(),
                prefix + "reload-on-update", "true", "spring.ssl.bundle.watch.file.quiet-period", "50ms");
    }

    private static KeyStore store(Path directory, String name) throws IOException, GeneralSecurityException {
        Path file = Files.createTempFile(directory, name, ".p12");
        Files.delete(file);
        String keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        // A JVM for one key: what it takes is its start.
        Process made = new ProcessBuilder(keytool, "-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1", "-genkeypair",
                "-keyalg", "EC", "-storetype", "PKCS12", "-keystore",
                file.toString(), "-storepass", PASSWORD, "-alias", "one", "-dname", "CN=" + name, "-ext",
                "SAN=ip:127.0.0.1,dns:localhost")
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            if (!made.waitFor(60, TimeUnit.SECONDS) || made.exitValue() != 0) {
                throw new IOException("keytool failed");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(file)) {
            store.load(in, PASSWORD.toCharArray());
        }
        Files.delete(file);
        return store;
    }

    private static Path pem(Path file, String kind, byte[] bytes) throws IOException {
        String text = "-----BEGIN " + kind + "-----\n"
                + Base64.getMimeEncoder(64, new byte[]{'\n'}).encodeToString(bytes)
                + "\n-----END " + kind + "-----\n";
        Path fresh = Files.writeString(Files.createTempFile(file.getParent(), "fresh", ".pem"), text);
        return Files.move(fresh, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }
}
