/**
 * What a fleet is run with, checked without an engine or a cluster: the Dockerfile, docker-compose.yml, the Helm chart, the alert
 * rules and Grafana's dashboard.
 */
@NullMarked
package dev.corral.deploy;

import org.jspecify.annotations.NullMarked;
