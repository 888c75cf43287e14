package dev.corral.deploy;

import java.nio.file.Path;

/** The alert rules. */
final class Alerts {

    static final Path FILE = Path.of("helm", "corral", "files", "alerts.yaml");

    private Alerts() {}
}
