package dev.corral.management.security;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

class JwtRolesTest {

    static List<Arguments> claims() {
        return List.of(arguments("roles", Map.of("roles", List.of("operator")), Optional.of(ManagementRole.OPERATOR)),
                arguments("roles", Map.of("roles", List.of("viewer", "x")), Optional.of(ManagementRole.VIEWER)),
                arguments("roles", Map.of("roles", List.of("viewer", "operator")),
                        Optional.of(ManagementRole.OPERATOR)),
                arguments("roles", Map.of("roles", "viewer"), Optional.of(ManagementRole.VIEWER)),
                arguments("roles", Map.of("roles", List.of("Operator", "operators", "x operator")), Optional.empty()),
                arguments("roles", Map.of("roles", List.of()), Optional.empty()),
                arguments("roles", Map.of("roles", Map.of("operator", true)), Optional.empty()),
                arguments("roles", Map.of("roles", 1), Optional.empty()),
                arguments("roles", Map.of("scope", "operator"), Optional.empty()),
                arguments("scope", Map.of("scope", "openid operator"), Optional.of(ManagementRole.OPERATOR)),
                arguments("realm_access.roles", Map.of("realm_access", Map.of("roles", List.of("viewer"))),
                        Optional.of(ManagementRole.VIEWER)),
                arguments("realm_access.roles", Map.of("realm_access", "operator"), Optional.empty()),
                arguments("https://corral.example/roles",
                        Map.of("https://corral.example/roles", List.of("operator")),
                        Optional.of(ManagementRole.OPERATOR)));
    }

    @ParameterizedTest
    @MethodSource("claims")
    void claimDeterminesRole(String claim, Map<String, Object> claims, Optional<ManagementRole> role) {
        var rule = new JwtAuthentication.JwtRoles(claim, Set.of("viewer"), Set.of("operator"));

        assertThat(rule.roleFrom(claims)).isEqualTo(role);
    }
}
