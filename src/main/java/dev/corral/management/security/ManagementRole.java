package dev.corral.management.security;

import java.util.List;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;

/** The permissions of an authenticated user of the management port. */
public enum ManagementRole {

    /** May read: GET and HEAD. */
    VIEWER,

    /** May read and change: purge, open a breaker, set a log level. */
    OPERATOR;

    /** The authorities that Spring Security checks. An operator also has the viewer's. */
    List<GrantedAuthority> authorities() {
        return switch (this) {
            case VIEWER -> AuthorityUtils.createAuthorityList("ROLE_VIEWER");
            case OPERATOR -> AuthorityUtils.createAuthorityList("ROLE_OPERATOR", "ROLE_VIEWER");
        };
    }
}
