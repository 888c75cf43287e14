package dev.corral.ops;

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
public final class Logins implements AutoCloseable {

    /**
     * Somebody who may log in.
     *
     * @param password in clear, or Spring's encoded form: {@code {noop}..} or {@code {bcrypt}..}
     */
    public record Login(String name, String password, Role role) {

        /** Without the password. */
        @Override
        public String toString() {
            return name + " (" + role + ")";
        }
    }

    private static final int CHECKING = 2;
    private static final int WAITING = 100;

    /** A changed password takes a restart anyway. */
    private static final Duration REMEMBERED = Duration.ofMinutes(1);
    private static final int REMEMBERED_AT_MOST = 1_000;

    private final Map<String, Login> logins;
    private final Login first;
    private final Guesses guesses;
    private final PasswordEncoder encoder;
    private final SecretKeySpec key;
    private final Cache<String, Login> verified;
    private final Scheduler checking;

    /** @param logins at least one, each with a name of its own */
    public Logins(List<Login> logins, Guesses guesses, Ticker ticker) {
        this.logins = logins.stream().collect(Collectors.toUnmodifiableMap(Login::name, Function.identity()));
        this.first = logins.getFirst();
        this.guesses = guesses;
        var encoders = new DelegatingPasswordEncoder("bcrypt",
                Map.of("bcrypt", new BCryptPasswordEncoder(), "noop", new Clear()));
        encoders.setDefaultPasswordEncoderForMatches(new Clear());
        this.encoder = encoders;
        byte[] random = new byte[32];
        new SecureRandom().nextBytes(random);
        this.key = new SecretKeySpec(random, "HmacSHA256");
        this.verified = Caffeine.newBuilder()
                .maximumSize(REMEMBERED_AT_MOST)
                .expireAfterWrite(REMEMBERED)
                .ticker(ticker)
                .build();
        this.checking = Schedulers.newBoundedElastic(CHECKING, WAITING, "login", 60, true);
    }

    /** Checks what a client sends. Errors: {@link BadCredentialsException}, {@link Guesses.TooMany}. */
    ReactiveAuthenticationManager of(String client) {
        return asked -> Mono.defer(() -> quickly(client, asked));
    }

    private Mono<Authentication> quickly(String client, Authentication asked) {
        guesses.check(client);
        String credentials = hash(asked);
        Login known = verified.getIfPresent(credentials);
        return known != null
                ? Mono.just(authenticated(known))
                : Mono.fromCallable(() -> thoroughly(client, asked, credentials))
                        .subscribeOn(checking)
                        .onErrorMap(RejectedExecutionException.class,
                                full -> new Guesses.TooMany(Duration.ofSeconds(1)));
    }

    private Authentication thoroughly(String client, Authentication asked, String credentials) {
        // Again: a burst of guesses passes the first look together.
        guesses.check(client);
        Login claimed = logins.get(asked.getName());
        boolean matches = encoder.matches(password(asked), (claimed == null ? first : claimed).password());
        if (!matches || claimed == null) {
            guesses.failed(client);
            throw new BadCredentialsException("unknown name or wrong password");
        }
        verified.put(credentials, claimed);
        return authenticated(claimed);
    }

    private static Authentication authenticated(Login login) {
        return UsernamePasswordAuthenticationToken.authenticated(login.name(), null, login.role().authorities());
    }

    private static String password(Authentication asked) {
        return String.valueOf(asked.getCredentials());
    }

    private String hash(Authentication asked) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(key);
            // A name has no colon.
            return HexFormat.of().formatHex(mac.doFinal(bytes(asked.getName() + ":" + password(asked))));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("every JDK has HMAC with SHA-256", impossible);
        }
    }

    private static byte[] bytes(CharSequence text) {
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        checking.dispose();
    }

    /** Passwords in clear. Spring's own encoder for them stops at the first character that differs. */
    private static final class Clear implements PasswordEncoder {

        @Override
        public String encode(@Nullable CharSequence password) {
            return String.valueOf(password);
        }

        /** The time tells nothing, not even the length. */
        @Override
        public boolean matches(@Nullable CharSequence password, @Nullable String stored) {
            return MessageDigest.isEqual(digest(String.valueOf(password)), digest(String.valueOf(stored)));
        }

        private static byte[] digest(String text) {
            try {
                return MessageDigest.getInstance("SHA-256").digest(bytes(text));
            } catch (GeneralSecurityException impossible) {
                throw new IllegalStateException("every JDK has SHA-256", impossible);
            }
        }
    }
}
