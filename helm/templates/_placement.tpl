{{/* Where the broker's pods run. */}}
{{- define "token-broker.placement" -}}
{{- if hasKey .Values "topologySpreadConstraints" }}
topologySpreadConstraints:
  {{- toYaml .Values.topologySpreadConstraints | nindent 2 }}
{{- else }}
# Preferences, not requirements: two replicas on one node are better than one that is pending.
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    # Each revision is spread separately, so that a rollout does not count the pods that it replaces.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "token-broker.selectorLabels" (list $ "broker") | nindent 8 }}
  {{- end }}
{{- end }}
{{- include "token-broker.nodes" . }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The nodes that can run the image. The pod of `helm test` uses it too. */}}
{{- define "token-broker.nodes" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
