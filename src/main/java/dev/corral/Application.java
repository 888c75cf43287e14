package dev.corral;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Import;

/** Starts one replica of Corral. */
@SpringBootConfiguration
@EnableAutoConfiguration
@Import(Wiring.class)
public final class Application {

    private Application() {}

    /** Starts the replica; a bad setting stops the start. */
    public static void main(String[] args) {
        SpringApplication.run(Application.class, args);
    }
}
