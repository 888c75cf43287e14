package dev.corral.management.security;

import dev.corral.management.security.PasswordAuthentication.ManagementUser;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.springframework.security.authentication.BadCredentialsException;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

class PasswordAuthenticationTest {

    private static final Duration TIMEOUT = Duration.ofSeconds(60);

    private final AtomicLong now = new AtomicLong();
    private final LoginRateLimiter rateLimiter = new LoginRateLimiter(now::get);
    // 8: much longer to check than to refuse, and not so long that a hundred checks in line hold up a busy machine.
    private final PasswordAuthentication passwords = new PasswordAuthentication(
            List.of(new ManagementUser("olga", "{bcrypt}" + new BCryptPasswordEncoder(8).encode("right"),
                    ManagementRole.OPERATOR),
                    new ManagementUser("ada", "clear", ManagementRole.VIEWER),
                    new ManagementUser("nora", "{noop}{x}", ManagementRole.VIEWER)),
            rateLimiter, now::get);

    @AfterEach
    void close() {
        passwords.close();
    }

    private Mono<Authentication> login(String client, String name, String password) {
        return passwords.forClient(client)
                .authenticate(UsernamePasswordAuthenticationToken.unauthenticated(name, password));
    }

    @Test
    void correctPasswordGrantsRole() {
        assertThat(login("c", "olga", "right").blockOptional(TIMEOUT).orElseThrow().getAuthorities())
                .extracting(Object::toString)
                .containsExactlyInAnyOrder("ROLE_OPERATOR", "ROLE_VIEWER");
        assertThat(login("c", "ada", "clear").blockOptional(TIMEOUT).orElseThrow().getAuthorities())
                .extracting(Object::toString)
                .containsExactly("ROLE_VIEWER");
        assertThat(login("c", "nora", "{x}").blockOptional(TIMEOUT)).isPresent();
    }

    @Test
    void verifiedPasswordDoesNotValidateAnother() {
        login("c", "olga", "right").block(TIMEOUT);

        for (String wrong : List.of("wrong", "", "righ", "right ", "clear")) {
            assertThatThrownBy(() -> login("c", "olga", wrong).block(TIMEOUT))
                    .isInstanceOf(BadCredentialsException.class);
        }
    }

    @Test
    void lockedOutClientIsRejectedDespiteVerifiedPassword() {
        login("c", "ada", "clear").block(TIMEOUT);
        for (int i = 0; i < LoginRateLimiter.MAX_FAILURES; i++) {
            int guess = i;
            assertThatThrownBy(() -> login("c", "ada", "guess" + guess).block(TIMEOUT))
                    .isInstanceOf(BadCredentialsException.class);
        }

        assertThatThrownBy(() -> login("c", "ada", "clear").block(TIMEOUT))
                .isInstanceOf(LoginRateLimiter.TooManyLoginAttemptsException.class);
        assertThat(login("elsewhere", "ada", "clear").blockOptional(TIMEOUT)).isPresent();
    }

    /** All attempts pass the first check, because none has failed yet. */
    @Test
    void concurrentGuessesAreLimited() {
        long checked = Flux.merge(Flux.fromStream(IntStream.range(0, 60).boxed())
                .map(i -> login("c", "ada", "guess" + i).map(in -> "in")
                        .onErrorResume(BadCredentialsException.class, e -> Mono.just("wrong"))
                        .onErrorResume(LoginRateLimiter.TooManyLoginAttemptsException.class,
                                limit -> Mono.just("limit"))),
                60)
                .filter("wrong"::equals)
                .count()
                .blockOptional(TIMEOUT)
                .orElseThrow();

        // Two threads verify at a time.
        assertThat(checked).isBetween((long) LoginRateLimiter.MAX_FAILURES, LoginRateLimiter.MAX_FAILURES + 1L);
    }

    @Test
    void loginQueueOverflowIsRejected() {
        long refused = Flux.merge(Flux.fromStream(IntStream.range(0, 400).boxed())
                .map(i -> login("c" + i, "olga", "guess").map(in -> "in")
                        .onErrorResume(BadCredentialsException.class, e -> Mono.just("wrong"))
                        .onErrorResume(LoginRateLimiter.TooManyLoginAttemptsException.class,
                                limit -> Mono.just("limit"))),
                400)
                .filter("limit"::equals)
                .count()
                .blockOptional(TIMEOUT)
                .orElseThrow();

        assertThat(refused).isPositive();
    }

    @Test
    void unknownUserTakesAsLongAsKnownUser() {
        login("warm", "olga", "right").block(TIMEOUT);

        // The least of them: a busy machine makes a try longer, never shorter.
        long unknown = Long.MAX_VALUE;
        long known = Long.MAX_VALUE;
        for (int i = 0; i < 5; i++) {
            unknown = Math.min(unknown, time("nobody", "guess" + i));
            known = Math.min(known, time("olga", "guess" + i));
        }
        assertThat(unknown * 2).isGreaterThan(known);
    }

    private long time(String name, String guess) {
        long start = System.nanoTime();
        assertThatThrownBy(() -> login(name, name, guess).block(TIMEOUT)).isInstanceOf(BadCredentialsException.class);
        return System.nanoTime() - start;
    }
}
