{{- define "rts.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* Names leave room for the parts' suffixes. */}}
{{- define "rts.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "rts.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rts.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rts.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rts.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rts.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* Labels by which a part's pods are found. Takes (list $ "part"). */}}
{{- define "rts.selector" -}}
app.kubernetes.io/name: {{ include "rts.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of everything. Takes (list $ "part"). */}}
{{- define "rts.labels" -}}
{{- $root := index . 0 -}}
{{ include "rts.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object. Takes (list $ "name suffix" "part"). */}}
{{- define "rts.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "rts.fullname" $root }}{{ with index . 1 }}-{{ . }}{{ end }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "rts.labels" (list $root (index . 2)) | nindent 2 }}
{{- with $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The settings file: tables of installations and issuers. JSON strings and lists are TOML too. */}}
{{- define "rts.toml" -}}
{{- range .Values.installations }}
[[github_installations]]
id = {{ .id | toJson }}
{{- with .org }}
org = {{ . | toJson }}
{{- end }}
{{- with .enterprise }}
enterprise = {{ . | toJson }}
{{- end }}
{{- with .repository }}
repository = {{ . | toJson }}
{{- end }}
{{- with .apiUrl }}
api_url = {{ . | toJson }}
{{- end }}
{{- if .appId }}
app_id = {{ int64 .appId }}
app_installation_id = {{ int64 .appInstallationId }}
private_key_path = "/etc/rts/installations/{{ .id }}/app-key"
{{- else }}
token_path = "/etc/rts/installations/{{ .id }}/token"
{{- end }}
{{- if hasKey . "rateLimits" }}
rate_limits = {{ .rateLimits }}
{{- end }}
{{- with .defaultRunnerGroupId }}
default_runner_group_id = {{ int64 . }}
{{- end }}
{{- if .webhookSecret }}
webhook_secret_path = "/etc/rts/webhooks/{{ .id }}/webhook-secret"
{{- end }}
{{ end }}
{{- range .Values.oidcIssuers }}
[[oidc_issuers]]
{{- range $name, $value := . }}
{{ $name }} = {{ if kindIs "float64" $value }}{{ int64 $value }}{{ else }}{{ $value | toJson }}{{ end }}
{{- end }}
{{ end }}
{{- end }}

{{/* Settings that the chart adds to those of the values. */}}
{{- define "rts.settings" -}}
{{- $all := dict "LOG_FORMAT" "json" "PUBLIC_DOCS" "false" "WORKER_CONCURRENCY" (int .Values.worker.concurrency) -}}
{{- range $name, $value := .Values.settings }}
{{- $text := kindIs "float64" $value | ternary (int64 $value | toString) (toString $value) }}
{{- if kindIs "slice" $value }}{{ $text = join "," $value }}{{ end }}
{{- $_ := set $all $name $text }}
{{- end }}
{{- range $name, $value := $all }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* One variable from the Secret, if its entry has a name. Takes (list $ "VARIABLE" "entry"). */}}
{{- define "rts.secretEnv" -}}
{{- $root := index . 0 -}}
{{- $key := index $root.Values.existingSecret.keys (index . 2) -}}
{{- if $key }}
- name: {{ index . 1 }}
  valueFrom: { secretKeyRef: { name: {{ $root.Values.existingSecret.name | quote }}, key: {{ $key | quote }} } }
{{- end }}
{{- end }}

{{/* One mounted entry of the Secret, if it has a name: its volume. Takes (list $ "volume" "entry" "file"). */}}
{{- define "rts.secretVolume" -}}
{{- $root := index . 0 -}}
{{- $key := index $root.Values.existingSecret.keys (index . 2) -}}
{{- if $key }}
- name: {{ index . 1 }}
  secret:
    secretName: {{ $root.Values.existingSecret.name | quote }}
    defaultMode: 0440
    items: [{ key: {{ $key | quote }}, path: {{ index . 3 }} }]
{{- end }}
{{- end }}

{{/* What the pods of every part have in common. Takes (list $ "part" values-of-the-part). */}}
{{- define "rts.podSpec" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}{{- $own := index . 2 -}}
serviceAccountName: {{ include "rts.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.spreadOver }}
topologySpreadConstraints:
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "rts.selector" (list $root $part) | nindent 8 }}
{{- end }}
{{- end }}

{{/* A pod's labels and annotations. A change of the settings starts new pods. Takes (list $ "part" values). */}}
{{- define "rts.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "rts.labels" (list $root (index . 1)) | nindent 2 }}
annotations:
  checksum/config: {{ include "rts.config" $root | sha256sum }}
  {{- with (merge (dict) (index . 2).podAnnotations $root.Values.commonAnnotations) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What the ConfigMap contains. */}}
{{- define "rts.config" -}}
{{ include "rts.settings" . }}
{{ include "rts.toml" . }}
{{- end }}

{{/* Image, confinement and common mounts of a container of the service. */}}
{{- define "rts.container" -}}
image: {{ include "rts.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{- define "rts.env" -}}
- { name: RTS_CONFIG, value: /etc/rts/config/rts.toml }
{{- include "rts.secretEnv" (list . "HTTPS_PROXY" "httpsProxy") }}
{{- $secret := .Values.existingSecret }}
{{- range $name, $entry := $secret.settings }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $secret.name | quote }}, key: {{ $entry | quote }} } }
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rts.mounts" -}}
- { name: config, mountPath: /etc/rts/config, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rts.volumes" -}}
- name: config
  configMap: { name: {{ include "rts.fullname" . }}, items: [{ key: rts.toml, path: rts.toml }] }
- name: tmp
  emptyDir: { sizeLimit: 16Mi }
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Variables, mounts and volumes of those who speak to GitHub: worker and scheduler. */}}
{{- define "rts.githubEnv" -}}
{{- if .Values.existingSecret.keys.githubAppKey }}
- { name: GITHUB_APP_PRIVATE_KEY_PATH, value: /etc/rts/github/app-key.pem }
{{- else if .Values.existingSecret.keys.githubToken }}
- { name: GITHUB_TOKEN_PATH, value: /etc/rts/github/token }
{{- end }}
{{- end }}

{{- define "rts.githubMounts" -}}
- { name: github, mountPath: /etc/rts/github, readOnly: true }
{{- range .Values.installations }}
- { name: installation-{{ .id }}, mountPath: /etc/rts/installations/{{ .id }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "rts.githubVolumes" -}}
{{- if .Values.existingSecret.keys.githubAppKey }}
{{- include "rts.secretVolume" (list . "github" "githubAppKey" "app-key.pem") }}
{{- else }}
{{- include "rts.secretVolume" (list . "github" "githubToken" "token") }}
{{- end }}
{{- range .Values.installations }}
- name: installation-{{ .id }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items: [{ key: {{ if .appId }}app-key, path: app-key{{ else }}token, path: token{{ end }} }]
{{- end }}
{{- end }}

{{/* Secrets that only the api reads. */}}
{{- define "rts.apiEnv" -}}
{{- include "rts.secretEnv" (list . "DATABASE_URL" "databaseUrl") }}
{{- include "rts.secretEnv" (list . "REDIS_URL" "redisUrl") }}
{{- include "rts.secretEnv" (list . "CREDENTIAL_KEYS" "credentialKeys") }}
{{- include "rts.secretEnv" (list . "GITHUB_WEBHOOK_SECRET" "webhookSecret") }}
{{- if .Values.existingSecret.keys.oidcClientSecret }}
- { name: OIDC_CLIENT_SECRET_PATH, value: /etc/rts/oidc/client-secret }
{{- end }}
- { name: SERVICE_HOST, value: "0.0.0.0" }
- { name: SERVICE_PORT, value: "8080" }
- { name: METRICS_LISTEN, value: "0.0.0.0:9102" }
{{- end }}

{{- define "rts.apiMounts" -}}
{{- if .Values.existingSecret.keys.oidcClientSecret }}
- { name: oidc, mountPath: /etc/rts/oidc, readOnly: true }
{{- end }}
{{- range .Values.installations }}
{{- if .webhookSecret }}
- { name: webhook-{{ .id }}, mountPath: /etc/rts/webhooks/{{ .id }}, readOnly: true }
{{- end }}
{{- end }}
{{- end }}

{{- define "rts.apiVolumes" -}}
{{- include "rts.secretVolume" (list . "oidc" "oidcClientSecret" "client-secret") }}
{{- range .Values.installations }}
{{- if .webhookSecret }}
- name: webhook-{{ .id }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items: [{ key: webhook-secret, path: webhook-secret }]
{{- end }}
{{- end }}
{{- end }}

{{/* The migration: environment and command. It runs before the ConfigMap exists. */}}
{{- define "rts.migrateContainer" -}}
name: init-db
{{ include "rts.container" . }}
args: [init-db{{ with .Values.migrate.appRole }}, --app-role, {{ . | quote }}{{ end }}]
env:
  - name: DATABASE_URL
    valueFrom:
      secretKeyRef: { name: {{ .Values.existingSecret.name | quote }}, key: {{ .Values.existingSecret.keys.ownerDatabaseUrl | quote }} }
  {{- range $name := list "ALLOW_PLAINTEXT_STORES" "AUDIT_RETENTION_DAYS" "EXTRA_CA_FILE" "LOG_LEVEL" "SSL_CERT_FILE" }}
  {{- with index $.Values.settings $name }}
  - { name: {{ $name }}, value: {{ kindIs "float64" . | ternary (int64 . | toString) (toString .) | quote }} }
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.migrate.resources | nindent 2 }}
{{- end }}
