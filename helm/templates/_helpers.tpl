{{- define "token-broker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, so that "-management" still fits into a DNS label of 63. */}}
{{- define "token-broker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "token-broker.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "token-broker.serviceAccountName" -}}
{{- default (include "token-broker.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* Labels that never change. Takes (list $ "component"). */}}
{{- define "token-broker.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "token-broker.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Takes (list $ "component"). */}}
{{- define "token-broker.labels" -}}
{{- $root := index . 0 -}}
{{ include "token-broker.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels of a pod. The chart's version is not among them: a new chart alone restarts nothing. */}}
{{- define "token-broker.podLabels" -}}
{{ include "token-broker.selectorLabels" . }}
{{- with (index . 0).Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "token-broker.image" -}}
{{- with .Values.image -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* The scheme of both listeners. */}}
{{- define "token-broker.scheme" -}}
{{ ternary "http" "https" .Values.tls.behindProxy }}
{{- end }}

{{- define "token-broker.servicePort" -}}
{{ default (ternary 80 443 .Values.tls.behindProxy) .Values.service.port | int }}
{{- end }}

{{/* The name that callers know the broker by, and its certificate should carry. */}}
{{- define "token-broker.serverName" -}}
{{ default (printf "%s.%s.svc" (include "token-broker.fullname" .) .Release.Namespace) .Values.tls.serverName }}
{{- end }}

{{/* The least number of replicas that run. */}}
{{- define "token-broker.leastReplicas" -}}
{{ ternary .Values.autoscaling.minReplicas .Values.replicas .Values.autoscaling.enabled | int }}
{{- end }}

{{/* Audience of a token that Entra is given, by cloud: as in src/config/config.ts. */}}
{{- define "token-broker.tokenAudience" -}}
{{- $clouds := dict
  "https://login.microsoftonline.com" "api://AzureADTokenExchange"
  "https://login.microsoftonline.us" "api://AzureADTokenExchangeUSGov"
  "https://login.partner.microsoftonline.cn" "api://AzureADTokenExchangeChina" }}
{{- $own := get $clouds (trimSuffix "/" .Values.settings.authority) }}
{{- .Values.identity.projectedToken.audience | default $own | default "api://AzureADTokenExchange" }}
{{- end }}

{{/*
How long the kubelet waits before it kills: the drain, then the longest exchange with the second in which its answer is
written, and five seconds for a slow node.
*/}}
{{- define "token-broker.gracePeriodSeconds" -}}
{{- with .Values.settings }}
{{- $exchange := div (add (int .upstreamTimeoutMs) 999) 1000 }}
{{- add (int .drainSeconds) $exchange 1 5 }}
{{- end }}
{{- end }}

{{/* What the "restricted" Pod Security Standard asks of a pod, and the image's own numbers. */}}
{{- define "token-broker.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
# Makes mounted Secrets and tokens readable for the group, and for nobody else.
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The same of a container. */}}
{{- define "token-broker.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
