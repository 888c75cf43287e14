package dev.corral.ops;

import dev.corral.ops.Logins.Login;
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

class LoginsTest {

    private static final Duration LONG = Duration.ofSeconds(60);

    private final AtomicLong now = new AtomicLong();
    private final Guesses guesses = new Guesses(now::get);
    private final Logins logins = new Logins(
            List.of(new Login("olga", "{bcrypt}" + new BCryptPasswordEncoder(10).encode("right"), Role.OPERATOR),
                    new Login("ada", "clear", Role.VIEWER), new Login("nora", "{noop}{x}", Role.VIEWER)),
            guesses, now::get);

    @AfterEach
    void close() {
        logins.close();
    }

    private Mono<Authentication> login(String client, String name, String password) {
        return logins.of(client).authenticate(UsernamePasswordAuthenticationToken.unauthenticated(name, password));
    }

    @Test
    void theRightPasswordGivesTheRole() {
        assertThat(login("c", "olga", "right").blockOptional(LONG).orElseThrow().getAuthorities())
                .extracting(Object::toString)
                .containsExactlyInAnyOrder("ROLE_OPERATOR", "ROLE_VIEWER");
        assertThat(login("c", "ada", "clear").blockOptional(LONG).orElseThrow().getAuthorities())
                .extracting(Object::toString)
                .containsExactly("ROLE_VIEWER");
        assertThat(login("c", "nora", "{x}").blockOptional(LONG)).isPresent();
    }

    @Test
    void whatWasFoundRightDoesNotMakeAnotherPasswordRight() {
        login("c", "olga", "right").block(LONG);

        for (String wrong : List.of("wrong", "", "righ", "right ", "clear")) {
            assertThatThrownBy(() -> login("c", "olga", wrong).block(LONG)).isInstanceOf(BadCredentialsException.class);
        }
    }

    @Test
    void whoHasGuessedTooOftenIsNotLetInEvenWithThePasswordThatWasFoundRight() {
        login("c", "ada", "clear").block(LONG);
        for (int i = 0; i < Guesses.ALLOWED; i++) {
            int guess = i;
            assertThatThrownBy(() -> login("c", "ada", "guess" + guess).block(LONG))
                    .isInstanceOf(BadCredentialsException.class);
        }

        assertThatThrownBy(() -> login("c", "ada", "clear").block(LONG)).isInstanceOf(Guesses.TooMany.class);
        assertThat(login("elsewhere", "ada", "clear").blockOptional(LONG)).isPresent();
    }

    /** All of them pass the first look, for none has failed yet. */
    @Test
    void guessesThatComeAllAtOnceAreNotMoreThanAllowed() {
        long checked = Flux.merge(Flux.fromStream(IntStream.range(0, 60).boxed())
                .map(i -> login("c", "ada", "guess" + i).map(in -> "in")
                        .onErrorResume(BadCredentialsException.class, wrong -> Mono.just("wrong"))
                        .onErrorResume(Guesses.TooMany.class, limit -> Mono.just("limit"))),
                60)
                .filter("wrong"::equals)
                .count()
                .blockOptional(LONG)
                .orElseThrow();

        // Two threads check at a time.
        assertThat(checked).isBetween((long) Guesses.ALLOWED, Guesses.ALLOWED + 1L);
    }

    @Test
    void whatIsTooMuchToCheckIsRefusedAtOnce() {
        long refused = Flux.merge(Flux.fromStream(IntStream.range(0, 400).boxed())
                .map(i -> login("c" + i, "olga", "guess").map(in -> "in")
                        .onErrorResume(BadCredentialsException.class, wrong -> Mono.just("wrong"))
                        .onErrorResume(Guesses.TooMany.class, limit -> Mono.just("limit"))),
                400)
                .filter("limit"::equals)
                .count()
                .blockOptional(LONG)
                .orElseThrow();

        assertThat(refused).isPositive();
    }

    @Test
    void anUnknownNameTakesAsLongAsAKnownOne() {
        login("warm", "olga", "right").block(LONG);

        assertThat(median("nobody") * 2).isGreaterThan(median("olga"));
    }

    private long median(String name) {
        return IntStream.range(0, 5).mapToLong(i -> {
            long start = System.nanoTime();
            assertThatThrownBy(() -> login(name, name, "guess" + i).block(LONG))
                    .isInstanceOf(BadCredentialsException.class);
            return System.nanoTime() - start;
        }).sorted().skip(2).findFirst().orElseThrow();
    }
}
