package dev.corral.management.security;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Ticker;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Function;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.jspecify.annotations.Nullable;
import org.springframework.security.authentication.BadCredentialsException;
import org.springframework.security.authentication.ReactiveAuthenticationManager;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.crypto.password.DelegatingPasswordEncoder;
import org.springframework.security.crypto.password.PasswordEncoder;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * Authenticates names and passwords. An unknown name takes as much time as a known one. Verified credentials are cached for a minute,
 * by a keyed hash, so that a program that logs in with each request does not pay for bcrypt each time. Other credentials are verified
 * on two dedicated threads with a bounded queue, never on an event loop. Thread-safe.
 */
public final class PasswordAuthentication implements AutoCloseable {

    /**
     * A user of the management port.
     *
     * @param password plain text, or Spring's encoded form: {@code {noop}..} or {@code {bcrypt}..}
     */
    public record ManagementUser(String name, String password, ManagementRole role) {

        /** Without the password. */
        @Override
        public String toString() {
            return name + " (" + role + ")";
        }
    }

    private static final int VERIFICATION_THREADS = 2;
    private static final int MAX_QUEUED_VERIFICATIONS = 100;

    /** Does not delay a changed password, because changing one takes a restart. */
    private static final Duration VERIFIED_TTL = Duration.ofMinutes(1);
    private static final int MAX_VERIFIED = 1_000;

    private final Map<String, ManagementUser> usersByName;
    private final ManagementUser timingDecoy;
    private final LoginRateLimiter rateLimiter;
    private final PasswordEncoder passwordEncoder;
    private final SecretKeySpec hmacKey;
    private final Cache<String, ManagementUser> verifiedCredentials;
    private final Scheduler verificationScheduler;

    /** @param users at least one, each with a unique name */
    public PasswordAuthentication(List<ManagementUser> users, LoginRateLimiter rateLimiter, Ticker ticker) {
        this.usersByName = users.stream()
                .collect(Collectors.toUnmodifiableMap(ManagementUser::name, Function.identity()));
        this.timingDecoy = users.getFirst();
        this.rateLimiter = rateLimiter;
        var encoders = new DelegatingPasswordEncoder("bcrypt",
                Map.of("bcrypt", new BCryptPasswordEncoder(), "noop", new PlainTextPasswordEncoder()));
        encoders.setDefaultPasswordEncoderForMatches(new PlainTextPasswordEncoder());
        this.passwordEncoder = encoders;
        byte[] random = new byte[32];
        new SecureRandom().nextBytes(random);
        this.hmacKey = new SecretKeySpec(random, "HmacSHA256");
        this.verifiedCredentials = Caffeine.newBuilder()
                .maximumSize(MAX_VERIFIED)
                .expireAfterWrite(VERIFIED_TTL)
                .ticker(ticker)
                .build();
        this.verificationScheduler = Schedulers.newBoundedElastic(VERIFICATION_THREADS, MAX_QUEUED_VERIFICATIONS,
                "unauthenticated", 60, true);
    }

    /**
     * Authenticates the logins of one client. Errors: {@link BadCredentialsException} and
     * {@link LoginRateLimiter.TooManyLoginAttemptsException}.
     *
     * @param client the client's key of {@link LoginRateLimiter#clientKey}
     */
    ReactiveAuthenticationManager forClient(String client) {
        return authentication -> Mono.defer(() -> authenticate(client, authentication));
    }

    private Mono<Authentication> authenticate(String client, Authentication authentication) {
        rateLimiter.checkAllowed(client);
        String credentials = credentialHash(authentication);
        ManagementUser verified = verifiedCredentials.getIfPresent(credentials);
        return verified != null
                ? Mono.just(toAuthentication(verified))
                : Mono.fromCallable(() -> verifyPassword(client, authentication, credentials))
                        .subscribeOn(verificationScheduler)
                        .onErrorMap(RejectedExecutionException.class,
                                ignored -> new LoginRateLimiter.TooManyLoginAttemptsException(Duration.ofSeconds(1)));
    }

    private Authentication verifyPassword(String client, Authentication authentication, String credentials) {
        // Checked again, because a burst of attempts passes the first check before any of them has failed.
        rateLimiter.checkAllowed(client);
        ManagementUser user = usersByName.get(authentication.getName());
        boolean matches = passwordEncoder.matches(password(authentication),
                (user == null ? timingDecoy : user).password());
        if (!matches || user == null) {
            rateLimiter.recordFailure(client);
            throw new BadCredentialsException("unknown name or wrong password");
        }
        verifiedCredentials.put(credentials, user);
        return toAuthentication(user);
    }

    private static Authentication toAuthentication(ManagementUser user) {
        return UsernamePasswordAuthenticationToken.authenticated(user.name(), null, user.role().authorities());
    }

    private static String password(Authentication authentication) {
        return String.valueOf(authentication.getCredentials());
    }

    private String credentialHash(Authentication authentication) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(hmacKey);
            // Unambiguous, because a name has no colon.
            return HexFormat.of()
                    .formatHex(mac.doFinal(utf8(authentication.getName() + ":" + password(authentication))));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("every JDK has HMAC with SHA-256", e);
        }
    }

    private static byte[] utf8(CharSequence text) {
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        verificationScheduler.dispose();
    }

    /** Plain text passwords. Spring's encoder for them stops at the first different character, which leaks timing. */
    private static final class PlainTextPasswordEncoder implements PasswordEncoder {

        @Override
        public String encode(@Nullable CharSequence password) {
            return String.valueOf(password);
        }

        /** Constant time: reveals nothing about the password, not even its length. */
        @Override
        public boolean matches(@Nullable CharSequence password, @Nullable String stored) {
            return MessageDigest.isEqual(sha256(String.valueOf(password)), sha256(String.valueOf(stored)));
        }

        private static byte[] sha256(String text) {
            try {
                return MessageDigest.getInstance("SHA-256").digest(utf8(text));
            } catch (GeneralSecurityException e) {
                throw new IllegalStateException("every JDK has SHA-256", e);
            }
        }
    }
}
