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

{{/* Labels of a pod. They do not contain the chart's version, so that a new chart alone restarts no pod. */}}
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

{{/* The name under which callers reach the broker. The certificate must contain it. */}}
{{- define "token-broker.serverName" -}}
{{ default (printf "%s.%s.svc" (include "token-broker.fullname" .) .Release.Namespace) .Values.tls.serverName }}
{{- end }}

{{/* The minimum number of replicas. */}}
{{- define "token-broker.leastReplicas" -}}
{{ ternary .Values.autoscaling.minReplicas .Values.replicas .Values.autoscaling.enabled | int }}
{{- end }}

{{/* The audience of the client assertion, by cloud, as in src/config/config.ts. */}}
{{- define "token-broker.tokenAudience" -}}
{{- $clouds := dict
  "https://login.microsoftonline.com" "api://AzureADTokenExchange"
  "https://login.microsoftonline.us" "api://AzureADTokenExchangeUSGov"
  "https://login.partner.microsoftonline.cn" "api://AzureADTokenExchangeChina"
  "https://login.sovcloud-identity.fr" "api://AzureADTokenExchangeFrance"
  "https://login.sovcloud-identity.de" "api://AzureADTokenExchangeGermany"
  "https://login.sovcloud-identity.sg" "api://AzureADTokenExchangeGovSG" }}
{{- $own := get $clouds (trimSuffix "/" .Values.settings.authority) }}
{{- .Values.identity.projectedToken.audience | default $own | default "api://AzureADTokenExchange" }}
{{- end }}

{{/*
How long the kubelet waits before it kills the pod: the drain, the longest exchange, one second in which its response is
written, and five seconds for a slow node.
*/}}
{{- define "token-broker.gracePeriodSeconds" -}}
{{- with .Values.settings }}
{{- $exchange := div (add (int .upstreamTimeoutMs) 999) 1000 }}
{{- add (int .drainSeconds) $exchange 1 5 }}
{{- end }}
{{- end }}

{{/* What the "restricted" Pod Security Standard requires of a pod, with the image's user and group. */}}
{{- define "token-broker.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
# Makes mounted Secrets and tokens readable for this group only.
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What the same standard requires of a container. */}}
{{- define "token-broker.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
