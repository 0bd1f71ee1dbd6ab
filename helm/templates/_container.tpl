{{/* The broker's environment: all variables of src/config/config.ts that the chart sets. */}}
{{- define "token-broker.env" -}}
- name: PORT
  value: "8080"
# The kubelet and Prometheus connect from outside the pod.
- name: MANAGEMENT_HOST
  value: 0.0.0.0
- name: MANAGEMENT_PORT
  value: "9090"
{{- if .Values.tls.behindProxy }}
- name: BROKER_BEHIND_TLS_PROXY
  value: "true"
{{- else }}
- name: TLS_CERT_FILE
  value: /etc/token-broker/tls/tls.crt
- name: TLS_KEY_FILE
  value: /etc/token-broker/tls/tls.key
{{- end }}
{{- if .Values.tls.clientCaConfigMap }}
- name: TLS_CLIENT_CA_FILE
  value: /etc/token-broker/client-ca/ca.crt
{{- end }}
- name: BROKER_POLICY_FILE
  value: /etc/token-broker/policy/policy.yaml
- name: BROKER_IDENTITY_SOURCE
  value: workload-identity
{{- if .Values.identity.projectedToken.enabled }}
- name: AZURE_TENANT_ID
  value: {{ .Values.identity.tenantId | quote }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: /var/run/secrets/token-broker/identity/token
{{- end }}
{{- with .Values.settings }}
- name: BROKER_AUTHORITY
  value: {{ .authority | quote }}
{{- with .trustedProxies }}
- name: BROKER_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .clientCertHeader }}
- name: BROKER_CLIENT_CERT_HEADER
  value: {{ . }}
{{- end }}
- name: BROKER_CACHE_MAX_ENTRIES
  value: {{ int64 .cacheMaxEntries | quote }}
- name: BROKER_MIN_REMAINING_SECONDS
  value: {{ int64 .minRemainingSeconds | quote }}
- name: BROKER_UPSTREAM_TIMEOUT_MS
  value: {{ int64 .upstreamTimeoutMs | quote }}
- name: BROKER_UPSTREAM_CONCURRENCY
  value: {{ int64 .upstreamConcurrency | quote }}
- name: BROKER_DRAIN_SECONDS
  value: {{ int64 .drainSeconds | quote }}
- name: BROKER_AUDIT
  value: {{ .audit }}
- name: LOG_LEVEL
  value: {{ .logLevel }}
{{- end }}
{{- include "token-broker.redisEnv" . }}
{{- end }}

{{- define "token-broker.redisEnv" -}}
{{- with .Values.redis }}
{{- if .url }}
- name: BROKER_REDIS_URL
  value: {{ .url | quote }}
- name: BROKER_CACHE_KEY_FILE
  value: /etc/token-broker/cache-keys/keys
- name: BROKER_REDIS_AUTH
  value: {{ .auth }}
{{- with .username }}
- name: BROKER_REDIS_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if .passwordSecretName }}
- name: BROKER_REDIS_PASSWORD_FILE
  value: /etc/token-broker/redis-password/password
{{- end }}
{{- if .caSecretName }}
- name: BROKER_REDIS_CA_FILE
  value: /etc/token-broker/redis-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Secrets for Redis: a list of mappings with volume, secret and file. */}}
{{- define "token-broker.redisSecrets" -}}
{{- with .Values.redis }}
{{- if .url }}
- { volume: cache-keys, secret: {{ .keyRingSecretName | quote }}, file: keys }
{{- if .passwordSecretName }}
- { volume: redis-password, secret: {{ .passwordSecretName | quote }}, file: password }
{{- end }}
{{- if .caSecretName }}
- { volume: redis-ca, secret: {{ .caSecretName | quote }}, file: ca.crt }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "token-broker.volumeMounts" -}}
# These are whole directories, because a file that is mounted by subPath is never updated.
- name: policy
  mountPath: /etc/token-broker/policy
  readOnly: true
{{- if .Values.tls.secretName }}
- name: tls
  mountPath: /etc/token-broker/tls
  readOnly: true
{{- end }}
{{- if .Values.tls.clientCaConfigMap }}
- name: client-ca
  mountPath: /etc/token-broker/client-ca
  readOnly: true
{{- end }}
{{- if .Values.identity.projectedToken.enabled }}
- name: identity
  mountPath: /var/run/secrets/token-broker/identity
  readOnly: true
{{- end }}
{{- range include "token-broker.redisSecrets" . | fromYamlArray }}
- name: {{ .volume }}
  mountPath: /etc/token-broker/{{ .volume }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "token-broker.volumes" -}}
- name: policy
  configMap:
    name: {{ default (printf "%s-policy" (include "token-broker.fullname" .)) .Values.existingPolicyConfigMap }}
    items:
      - key: policy.yaml
        path: policy.yaml
{{- with .Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 288 # 0440
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- with .Values.tls.clientCaConfigMap }}
- name: client-ca
  configMap:
    name: {{ . }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- with .Values.identity.projectedToken }}
{{- if .enabled }}
- name: identity
  projected:
    defaultMode: 288 # 0440
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ include "token-broker.tokenAudience" $ }}
          expirationSeconds: {{ int .expirationSeconds }}
{{- end }}
{{- end }}
{{- range include "token-broker.redisSecrets" . | fromYamlArray }}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 288 # 0440
    items:
      - key: {{ .file }}
        path: {{ .file }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The startup probe gives a slow node a minute until the broker listens. The liveness probe starts after that. */}}
{{- define "token-broker.probes" -}}
{{- $scheme := include "token-broker.scheme" . | upper -}}
startupProbe:
  httpGet:
    path: /livez
    port: management
    scheme: {{ $scheme }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /livez
    port: management
    scheme: {{ $scheme }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: management
    scheme: {{ $scheme }}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
