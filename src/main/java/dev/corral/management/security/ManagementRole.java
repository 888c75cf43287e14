package dev.corral.management.security;

import java.util.List;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;

/** What somebody who has logged in to the management port may do. */
public enum ManagementRole {

    /** May look: GET and HEAD. */
    VIEWER,

    /** May look, and change: purge, open a breaker, set a log level. */
    OPERATOR;

    /** What Spring Security checks; an operator has the viewer's too. */
    List<GrantedAuthority> authorities() {
        return switch (this) {
            case VIEWER -> AuthorityUtils.createAuthorityList("ROLE_VIEWER");
            case OPERATOR -> AuthorityUtils.createAuthorityList("ROLE_OPERATOR", "ROLE_VIEWER");
        };
    }
}
