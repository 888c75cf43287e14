package dev.corral.http;

import java.util.List;

/**
 * Request header fields by which an origin can identify a user. {@code Authorization} is excluded: RFC 9111 section 3.5 has a
 * separate rule for it.
 *
 * <p>No RFC lists these fields. Each framework, gateway and authenticating proxy uses different names ({@code X-Api-Key},
 * {@code X-Auth-Token}, {@code X-Forwarded-User}, {@code Cf-Access-Jwt-Assertion}, {@code X-Forwarded-Client-Cert}), so they are
 * recognized by words in their names. A false positive only means that responses without explicit freshness are not shared with
 * that request.
 */
final class CredentialFields {

    private static final List<String> CREDENTIAL_WORDS = List.of("token", "auth", "api-key", "apikey", "access-key",
            "session",
            "jwt", "secret", "password", "credential", "signature", "client-cert", "ssl-client", "user", "email",
            "identity", "oidc", "saml", "account", "customer", "tenant");

    private CredentialFields() {}

    /** Whether the field identifies the client. The name is compared in canonical form ({@link RequestHeaderPolicy#canonicalName}). */
    static boolean isCredential(String field) {
        String name = RequestHeaderPolicy.canonicalName(field);
        // Browsers send Sec-* and User-Agent to every origin; they identify no user.
        if (name.startsWith("sec-") || name.endsWith("user-agent") || name.equals("authorization")) {
            return false;
        }
        return name.equals("cookie") || name.equals("cookie2") || name.endsWith("-key") || containsCredentialWord(name);
    }

    private static boolean containsCredentialWord(String name) {
        for (String word : CREDENTIAL_WORDS) {
            if (name.contains(word)) {
                return true;
            }
        }
        return false;
    }
}
