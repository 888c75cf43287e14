/**
 * Checks the deployment files without an engine or a cluster: the Dockerfile, docker-compose.yml, the Helm chart, the alert rules and the
 * Grafana dashboard.
 */
@NullMarked
package dev.corral.deploy;

import org.jspecify.annotations.NullMarked;
