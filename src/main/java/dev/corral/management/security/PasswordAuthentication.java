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
 * Checks names and passwords. Thread-safe. An unknown name costs as much time as a known one. What has been found right is
 * remembered for a minute, by a keyed hash, so that a program that logs in with each request does not pay for bcrypt each time;
 * the rest is checked on two threads of its own, behind a queue with an end, and never on an event loop.
 */
public final class PasswordAuthentication implements AutoCloseable {

    /**
     * Somebody who may log in.
     *
     * @param password in clear, or Spring's encoded form: {@code {noop}..} or {@code {bcrypt}..}
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

    /** A changed password takes a restart anyway. */
    private static final Duration VERIFIED_TTL = Duration.ofMinutes(1);
    private static final int MAX_VERIFIED = 1_000;

    private final Map<String, ManagementUser> usersByName;
    private final ManagementUser timingDecoy;
    private final LoginRateLimiter rateLimiter;
    private final PasswordEncoder passwordEncoder;
    private final SecretKeySpec hmacKey;
    private final Cache<String, ManagementUser> verifiedCredentials;
    private final Scheduler verificationScheduler;

    /** @param logins at least one, each with a name of its own */
    public PasswordAuthentication(List<ManagementUser> logins, LoginRateLimiter guesses, Ticker ticker) {
        this.usersByName = logins.stream()
                .collect(Collectors.toUnmodifiableMap(ManagementUser::name, Function.identity()));
        this.timingDecoy = logins.getFirst();
        this.rateLimiter = guesses;
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

    /** Checks what a client sends. Errors: {@link BadCredentialsException}, {@link LoginRateLimiter.TooManyLoginAttemptsException}. */
    ReactiveAuthenticationManager forClient(String client) {
        return asked -> Mono.defer(() -> authenticate(client, asked));
    }

    private Mono<Authentication> authenticate(String client, Authentication asked) {
        rateLimiter.checkAllowed(client);
        String credentials = credentialHash(asked);
        ManagementUser known = verifiedCredentials.getIfPresent(credentials);
        return known != null
                ? Mono.just(toAuthentication(known))
                : Mono.fromCallable(() -> verifyPassword(client, asked, credentials))
                        .subscribeOn(verificationScheduler)
                        .onErrorMap(RejectedExecutionException.class,
                                full -> new LoginRateLimiter.TooManyLoginAttemptsException(Duration.ofSeconds(1)));
    }

    private Authentication verifyPassword(String client, Authentication asked, String credentials) {
        // Again: a burst of guesses passes the first look together.
        rateLimiter.checkAllowed(client);
        ManagementUser claimed = usersByName.get(asked.getName());
        boolean matches = passwordEncoder.matches(password(asked),
                (claimed == null ? timingDecoy : claimed).password());
        if (!matches || claimed == null) {
            rateLimiter.recordFailure(client);
            throw new BadCredentialsException("unknown name or wrong password");
        }
        verifiedCredentials.put(credentials, claimed);
        return toAuthentication(claimed);
    }

    private static Authentication toAuthentication(ManagementUser login) {
        return UsernamePasswordAuthenticationToken.authenticated(login.name(), null, login.role().authorities());
    }

    private static String password(Authentication asked) {
        return String.valueOf(asked.getCredentials());
    }

    private String credentialHash(Authentication asked) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(hmacKey);
            // A name has no colon.
            return HexFormat.of().formatHex(mac.doFinal(utf8(asked.getName() + ":" + password(asked))));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every JDK has HMAC with SHA-256", impossible);
        }
    }

    private static byte[] utf8(CharSequence text) {
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        verificationScheduler.dispose();
    }

    /** Passwords in clear. Spring's own encoder for them stops at the first character that differs. */
    private static final class PlainTextPasswordEncoder implements PasswordEncoder {

        @Override
        public String encode(@Nullable CharSequence password) {
            return String.valueOf(password);
        }

        /** The time tells nothing, not even the length. */
        @Override
        public boolean matches(@Nullable CharSequence password, @Nullable String stored) {
            return MessageDigest.isEqual(sha256(String.valueOf(password)), sha256(String.valueOf(stored)));
        }

        private static byte[] sha256(String text) {
            try {
                return MessageDigest.getInstance("SHA-256").digest(utf8(text));
            } catch (GeneralSecurityException impossible) {
                throw new IllegalStateException("every JDK has SHA-256", impossible);
            }
        }
    }
}
