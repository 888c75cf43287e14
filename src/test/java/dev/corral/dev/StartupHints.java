package dev.corral.dev;

/** What to try first, in words and commands that can be pasted. */
final class StartupHints {

    private StartupHints() {}

    static String forDemoShop(int port, int management, String shop, String redis) {
        return """

                Corral listens on http://localhost:%1$d (management: %2$d), before the demo shop %3$s, over %4$s.
                Try, in another terminal:

                1. The same product twice. First Cache-Status: Corral; fwd=uri-miss; .. stored, after the shop's 120 ms;
                   then Cache-Status: Corral; hit; ttl=.., at once:

                   curl -i http://localhost:%1$d/products/1; curl -i http://localhost:%1$d/products/1

                2. Fifty at the same moment for a product nobody has asked for yet. The shop's count says 1:

                   seq 50 | xargs -P 50 -I{} curl -s -o /dev/null http://localhost:%1$d/products/50; \\
                     curl -s %3$s/count

                3. What is for one client only is never shared: two different bodies, Cache-Status without "hit":

                   curl -i http://localhost:%1$d/private/cart; curl -i http://localhost:%1$d/private/cart

                The metrics: curl -s http://localhost:%2$d/actuator/prometheus | grep ^corral_
                """.formatted(port, management, shop, redis);
    }

    static String forConfiguredRoutes(int port, int management, String redis) {
        return """

                Corral listens on http://localhost:%1$d (management: %2$d), with the routes of your settings, over %3$s.
                Ask for one thing of yours twice and compare Cache-Status:

                   curl -i http://localhost:%1$d/; curl -i http://localhost:%1$d/
                """.formatted(port, management, redis);
    }
}
