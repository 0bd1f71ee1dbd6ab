{{/*
Checks that the schema cannot express: values that contradict each other, or are required in this combination. It
reports all errors together, each with its key. One template that is always rendered must include it: the Deployment.
*/}}
{{- define "token-broker.check" -}}
{{- $faults := concat
  (include "token-broker.policyFaults" . | fromYamlArray)
  (include "token-broker.identityFaults" . | fromYamlArray)
  (include "token-broker.otherFaults" . | fromYamlArray) }}
{{- if $faults }}
{{- fail (printf "these values cannot be used:\n  - %s\n" (join "\n  - " $faults)) }}
{{- end }}
{{- end }}

{{- define "token-broker.policyFaults" -}}
{{- $faults := list }}
{{- with .Values }}
{{- if and .policy .existingPolicyConfigMap }}
{{- $faults = append $faults "policy, existingPolicyConfigMap: set one of them, not both" }}
{{- else if not (or .policy .existingPolicyConfigMap) }}
{{- $faults = append $faults "policy: is required (--set-file policy=policy.yaml), or set existingPolicyConfigMap" }}
{{- end }}
{{- with (fromYaml .policy).Error }}
{{- $faults = append $faults (printf "policy: must be a YAML mapping: %s" .) }}
{{- end }}
{{- end }}
{{- toYaml $faults }}
{{- end }}

{{- define "token-broker.identityFaults" -}}
{{- $faults := list }}
{{- with .Values.identity }}
{{- if .projectedToken.enabled }}
{{- if not .tenantId }}
{{- $faults = append $faults "identity.tenantId: is required with identity.projectedToken (the tenant of the app registration)" }}
{{- end }}
{{- else if and $.Values.serviceAccount.create (not .clientId) }}
{{- $faults = append $faults "identity.clientId: is required (the client id of the app registration); outside AKS, set identity.projectedToken.enabled=true instead" }}
{{- end }}
{{- $applications := (fromYaml $.Values.policy).applications }}
{{- if and .clientId (kindIs "map" $applications) }}
{{- $ids := list }}
{{- range $id := $applications }}
{{- $ids = append $ids (lower (toString $id)) }}
{{- end }}
{{- if not (has (lower .clientId) $ids) }}
{{- $faults = append $faults (printf "identity.clientId: must be one of the policy's applications (the client id of the app registration, not of a managed identity); got %s" .clientId) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $faults }}
{{- end }}

{{- define "token-broker.otherFaults" -}}
{{- $faults := list }}
{{- with .Values }}
{{- if and .tls.secretName .tls.behindProxy }}
{{- $faults = append $faults "tls.secretName, tls.behindProxy: set one of them, not both" }}
{{- else if not (or .tls.secretName .tls.behindProxy) }}
{{- $faults = append $faults "tls: callers' tokens must not be sent in plain text; set tls.secretName, or tls.behindProxy=true if a proxy in the pod terminates TLS" }}
{{- end }}
{{- if and (not .serviceAccount.create) (not .serviceAccount.name) }}
{{- $faults = append $faults "serviceAccount.name: is required with serviceAccount.create=false" }}
{{- end }}
{{- if .autoscaling.enabled }}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
{{- $faults = append $faults "autoscaling.minReplicas: must not be greater than autoscaling.maxReplicas" }}
{{- end }}
{{- if not (dig "requests" "cpu" "" .resources) }}
{{- $faults = append $faults "resources.requests.cpu: is required with autoscaling, whose target is a percentage of it" }}
{{- end }}
{{- end }}
{{- if and .serviceMonitor.enabled .networkPolicy.enabled (not .networkPolicy.management) }}
{{- $faults = append $faults "networkPolicy.management: is required with serviceMonitor, and must contain Prometheus" }}
{{- end }}
{{- if and .service.externalTrafficPolicy (eq .service.type "ClusterIP") }}
{{- $faults = append $faults "service.externalTrafficPolicy: has no effect with service.type=ClusterIP" }}
{{- end }}
{{- $own := include "token-broker.env" $ | fromYamlArray }}
{{- range .extraEnv }}
{{- $name := .name }}
{{- range $own }}
{{- if eq .name $name }}
{{- $faults = append $faults (printf "extraEnv: %s is set by the chart; use the corresponding value instead" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $annotation, $_ := .podAnnotations }}
{{- if has $annotation (list "checksum/policy" "kubectl.kubernetes.io/default-container") }}
{{- $faults = append $faults (printf "podAnnotations: %s is set by the chart" $annotation) }}
{{- end }}
{{- end }}
{{- range $label, $_ := .podLabels }}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "azure.workload.identity/use") }}
{{- $faults = append $faults (printf "podLabels: %s is set by the chart" $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $faults }}
{{- end }}
