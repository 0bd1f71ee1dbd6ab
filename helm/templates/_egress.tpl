{{/* What the broker may reach. */}}
{{- define "token-broker.egress" -}}
# DNS, to every address, because pods or the node may run it.
- ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
# Entra, and the issuers' keys. The identity endpoint of the node (169.254.169.254) uses port 80, which stays
# blocked.
- ports:
    - protocol: TCP
      port: 443
  {{- with .Values.networkPolicy.egressTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if .Values.redis.url }}
# Redis
- ports:
    - protocol: TCP
      port: {{ regexFind ":[0-9]+/?$" .Values.redis.url | trimPrefix ":" | trimSuffix "/" | default "6379" }}
  {{- with .Values.networkPolicy.redisTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
