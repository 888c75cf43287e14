{{- define "corral.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "corral.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "corral.selector" -}}
app.kubernetes.io/name: {{ include "corral.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: cache
{{- end }}

{{- define "corral.redis.selector" -}}
app.kubernetes.io/name: {{ include "corral.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end }}

{{- define "corral.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "corral.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "corral.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "corral.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* The container settings of the Pod Security Standard "restricted", and a read-only file system. */}}
{{- define "corral.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Checks that the schema cannot express, or whose message would be less clear. */}}
{{- define "corral.check" -}}
{{- if not .Values.routes }}
{{- fail "routes is empty: there is nothing to serve. Set at least routes[0].id (a name, such as shop) and routes[0].origin (a base URL, such as http://shop.shop.svc:8080)" }}
{{- end }}
{{- range $name, $value := .Values.config }}
{{- if regexMatch "^corral([.\\[].*)?$" $name }}
{{- fail (printf "config.%s is not taken: set corral.* in routes and settings" $name) }}
{{- end }}
{{- end }}
{{- with .Values.redis }}
{{- if and (eq .mode "standalone") (not .host) }}
{{- fail "redis.host must be set to the host of a Redis, or redis.mode to sentinel, cluster, or built-in for evaluation" }}
{{- end }}
{{- if and (eq .mode "sentinel") (or (not .sentinel.master) (not .sentinel.nodes)) }}
{{- fail "redis.mode sentinel needs redis.sentinel.master (the name of the master at the Sentinels) and redis.sentinel.nodes (a list of host:port)" }}
{{- end }}
{{- if and (eq .mode "cluster") (not .cluster.nodes) }}
{{- fail "redis.mode cluster needs redis.cluster.nodes (a list of host:port)" }}
{{- end }}
{{- if and (eq .mode "cluster") (ne (int .database) 0) }}
{{- fail "redis.database must be 0 with redis.mode cluster: a cluster has no other databases" }}
{{- end }}
{{- if and (eq .mode "built-in") (or .tls.enabled .existingSecret .username .host) }}
{{- fail "redis.mode built-in has no TLS, user, password or host; use another mode for your own Redis" }}
{{- end }}
{{- if and (not .tls.enabled) (or .tls.caSecret .tls.clientSecret) }}
{{- fail "redis.tls.caSecret and redis.tls.clientSecret have no effect unless redis.tls.enabled is true" }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas must not be more than autoscaling.maxReplicas" }}
{{- end }}
{{- end }}

{{/* Spring's Redis settings. */}}
{{- define "corral.redis" -}}
{{- with .Values.redis -}}
timeout: {{ .timeout }}
{{- with .username }}
username: {{ . | quote }}
{{- end }}
{{- if eq .mode "built-in" }}
host: {{ include "corral.fullname" $ }}-redis
port: 6379
{{- else if eq .mode "standalone" }}
host: {{ .host | quote }}
port: {{ int .port }}
database: {{ int .database }}
{{- else if eq .mode "sentinel" }}
database: {{ int .database }}
sentinel:
  master: {{ .sentinel.master | quote }}
  nodes: {{ toJson .sentinel.nodes }}
  {{- with .sentinel.username }}
  username: {{ . | quote }}
  {{- end }}
{{- else }}
cluster:
  nodes: {{ toJson .cluster.nodes }}
{{- end }}
{{- if .tls.enabled }}
ssl:
  enabled: true
  {{- if or .tls.caSecret .tls.clientSecret }}
  bundle: redis
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The SSL bundle of these settings. */}}
{{- define "corral.redis.bundle" -}}
{{- with .Values.redis.tls -}}
{{- if .caSecret }}
truststore:
  certificate: file:/etc/corral/redis-ca/{{ .caKey }}
{{- end }}
{{- if .clientSecret }}
keystore:
  certificate: file:/etc/corral/redis-client/tls.crt
  private-key: file:/etc/corral/redis-client/tls.key
{{- end }}
{{- end }}
{{- end }}

{{/* The application.yml of each replica. */}}
{{- define "corral.config" -}}
{{- $spring := dict "lifecycle" (dict "timeout-per-shutdown-phase" (printf "%ds" (int .Values.shutdown.requestSeconds))) }}
{{- $_ := set $spring "data" (dict "redis" (include "corral.redis" . | fromYaml)) }}
{{- if and .Values.redis.tls.enabled (or .Values.redis.tls.caSecret .Values.redis.tls.clientSecret) }}
{{- $_ := set $spring "ssl" (dict "bundle" (dict "pem" (dict "redis" (include "corral.redis.bundle" . | fromYaml)))) }}
{{- end }}
{{- $corral := set (deepCopy .Values.settings) "routes" .Values.routes }}
{{- $_ := set $corral "redis" (dict "key-prefix" .Values.redis.keyPrefix) }}
{{- $_ := set $corral "shutdown" (dict "drain" (printf "%ds" (int .Values.shutdown.drainSeconds))) }}
{{- $own := dict "corral" $corral "spring" $spring "server" (dict "port" 8080) "management" (dict "server" (dict "port" 8081)) }}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.config)) }}
{{- end }}
