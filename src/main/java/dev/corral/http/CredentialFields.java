package dev.corral.http;

import java.util.List;

/**
 * Request fields by which an origin knows a user. {@code Authorization} is not among them: RFC 9111 section 3.5 has a rule of its
 * own for it.
 *
 * <p>
 * No RFC lists the others. They are recognized by the words in their names, because each framework, gateway and authenticating
 * proxy has names of its own: {@code X-Api-Key}, {@code X-Auth-Token}, {@code X-Forwarded-User},
 * {@code Cf-Access-Jwt-Assertion}, {@code X-Forwarded-Client-Cert}. A field that is taken for one of them by mistake costs only
 * the coalescing of responses that state no freshness.
 */
final class CredentialFields {

    private static final List<String> CREDENTIAL_WORDS = List.of("token", "auth", "api-key", "apikey", "access-key",
            "session",
            "jwt", "secret", "password", "credential", "signature", "client-cert", "ssl-client", "user", "email",
            "identity", "oidc", "saml", "account", "customer", "tenant");

    private CredentialFields() {}

    /** Whether a field of that name tells who the client is, in whatever spelling ({@link RequestHeaderPolicy#canonicalName}). */
    static boolean isCredential(String field) {
        String name = RequestHeaderPolicy.canonicalName(field);
        // What a browser sends of itself in Sec-* and User-Agent is about no user.
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
