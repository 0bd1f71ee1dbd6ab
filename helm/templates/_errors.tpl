{{/*
Checks that the schema cannot express: values that contradict each other, or are required in this combination. It
reports all errors together, each with its key. One template that is always rendered must include it: the Deployment.
*/}}
{{- define "token-broker.check" -}}
{{- $errors := concat
  (include "token-broker.policyErrors" . | fromYamlArray)
  (include "token-broker.identityErrors" . | fromYamlArray)
  (include "token-broker.redisErrors" . | fromYamlArray)
  (include "token-broker.otherErrors" . | fromYamlArray) }}
{{- if $errors }}
{{- fail (printf "these values cannot be used:\n  - %s\n" (join "\n  - " $errors)) }}
{{- end }}
{{- end }}

{{- define "token-broker.policyErrors" -}}
{{- $errors := list }}
{{- with .Values }}
{{- if and .policy .existingPolicyConfigMap }}
{{- $errors = append $errors "policy, existingPolicyConfigMap: set one of them, not both" }}
{{- else if not (or .policy .existingPolicyConfigMap) }}
{{- $errors = append $errors "policy: is required (--set-file policy=policy.yaml), or set existingPolicyConfigMap" }}
{{- end }}
{{- with (fromYaml .policy).Error }}
{{- $errors = append $errors (printf "policy: must be a YAML mapping: %s" .) }}
{{- end }}
{{- end }}
{{- toYaml $errors }}
{{- end }}

{{- define "token-broker.identityErrors" -}}
{{- $errors := list }}
{{- with .Values.identity }}
{{- if .projectedToken.enabled }}
{{- if not .tenantId }}
{{- $errors = append $errors "identity.tenantId: is required with identity.projectedToken (the tenant of the app registration)" }}
{{- end }}
{{- else if and $.Values.serviceAccount.create (not .clientId) }}
{{- $errors = append $errors "identity.clientId: is required (the client id of the app registration); outside AKS, set identity.projectedToken.enabled=true instead" }}
{{- end }}
{{- $applications := (fromYaml $.Values.policy).applications }}
{{- if and .clientId (kindIs "map" $applications) }}
{{- $ids := list }}
{{- range $id := $applications }}
{{- $ids = append $ids (lower (toString $id)) }}
{{- end }}
{{- if not (has (lower .clientId) $ids) }}
{{- $errors = append $errors (printf "identity.clientId: must be one of the policy's applications (the client id of the app registration, not of a managed identity); got %s" .clientId) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $errors }}
{{- end }}

{{- define "token-broker.redisErrors" -}}
{{- $errors := list }}
{{- with .Values.redis }}
{{- if .url }}
{{- if not .keyRingSecretName }}
{{- $errors = append $errors "redis.keyRingSecretName: is required with redis.url; create a key with: token-broker key cache" }}
{{- end }}
{{- if and (eq .auth "password") (not .passwordSecretName) }}
{{- $errors = append $errors "redis.passwordSecretName: is required with redis.auth=password" }}
{{- end }}
{{- if and .passwordSecretName (ne .auth "password") }}
{{- $errors = append $errors "redis.passwordSecretName: has no effect without redis.auth=password" }}
{{- end }}
{{- if and .username (ne .auth "password") }}
{{- $errors = append $errors "redis.username: has no effect without redis.auth=password" }}
{{- end }}
{{- else }}
{{- range $key := list "keyRingSecretName" "username" "passwordSecretName" "caSecretName" }}
{{- if get $.Values.redis $key }}
{{- $errors = append $errors (printf "redis.%s: has no effect without redis.url" $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $errors }}
{{- end }}

{{- define "token-broker.otherErrors" -}}
{{- $errors := list }}
{{- with .Values }}
{{- if and .tls.secretName .tls.behindProxy }}
{{- $errors = append $errors "tls.secretName, tls.behindProxy: set one of them, not both" }}
{{- else if not (or .tls.secretName .tls.behindProxy) }}
{{- $errors = append $errors "tls: callers' tokens must not be sent in plain text; set tls.secretName, or tls.behindProxy=true if a proxy in the pod terminates TLS" }}
{{- end }}
{{- $isForwarded := and .tls.clientCaConfigMap .settings.trustedProxies }}
{{- if and .tls.clientCaConfigMap .tls.behindProxy (not .settings.trustedProxies) }}
{{- $errors = append $errors "tls.clientCaConfigMap: has no effect with tls.behindProxy without settings.trustedProxies" }}
{{- end }}
{{- if and $isForwarded (not .settings.clientCertHeader) }}
{{- $errors = append $errors "settings.clientCertHeader: is required with settings.trustedProxies and tls.clientCaConfigMap (client-cert or x-forwarded-client-cert, the one header in which the proxies forward certificates)" }}
{{- else if and .settings.clientCertHeader (not $isForwarded) }}
{{- $errors = append $errors "settings.clientCertHeader: has no effect without settings.trustedProxies and tls.clientCaConfigMap" }}
{{- end }}
{{- if and (not .serviceAccount.create) (not .serviceAccount.name) }}
{{- $errors = append $errors "serviceAccount.name: is required with serviceAccount.create=false" }}
{{- end }}
{{- if .autoscaling.enabled }}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
{{- $errors = append $errors "autoscaling.minReplicas: must not be greater than autoscaling.maxReplicas" }}
{{- end }}
{{- if not (dig "requests" "cpu" "" .resources) }}
{{- $errors = append $errors "resources.requests.cpu: is required with autoscaling, whose target is a percentage of it" }}
{{- end }}
{{- end }}
{{- if and .serviceMonitor.enabled .networkPolicy.enabled (not .networkPolicy.management) }}
{{- $errors = append $errors "networkPolicy.management: is required with serviceMonitor, and must contain Prometheus" }}
{{- end }}
{{- if and .service.externalTrafficPolicy (eq .service.type "ClusterIP") }}
{{- $errors = append $errors "service.externalTrafficPolicy: has no effect with service.type=ClusterIP" }}
{{- end }}
{{- $own := include "token-broker.env" $ | fromYamlArray }}
{{- range .extraEnv }}
{{- $name := .name }}
{{- range $own }}
{{- if eq .name $name }}
{{- $errors = append $errors (printf "extraEnv: %s is set by the chart; use the corresponding value instead" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $annotation, $_ := .podAnnotations }}
{{- if has $annotation (list "checksum/policy" "kubectl.kubernetes.io/default-container") }}
{{- $errors = append $errors (printf "podAnnotations: %s is set by the chart" $annotation) }}
{{- end }}
{{- end }}
{{- range $label, $_ := .podLabels }}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "azure.workload.identity/use") }}
{{- $errors = append $errors (printf "podLabels: %s is set by the chart" $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $errors }}
{{- end }}
