/**
 * What the chart uses of the Prometheus Operator's ServiceMonitor, monitoring.coreos.com/v1, as its API reference has it
 * (https://prometheus-operator.dev/docs/api-reference/api/). It is not a kind of Kubernetes itself, so
 * `kubernetes-models` does not have it.
 */
export interface IServiceMonitor {
  apiVersion: 'monitoring.coreos.com/v1'
  kind: 'ServiceMonitor'
  metadata: { name: string; namespace: string; labels: Record<string, string> }
  spec: {
    jobLabel?: string
    selector: { matchLabels?: Record<string, string> }
    endpoints: {
      port?: string
      path?: string
      scheme?: 'http' | 'https'
      interval?: string
      scrapeTimeout?: string
      tlsConfig?: {
        ca?: { secret?: { name: string; key: string }; configMap?: { name: string; key: string } }
        serverName?: string
      }
    }[]
  }
}

/** What the chart uses of the Prometheus Operator's PrometheusRule, from the same reference. */
export interface IPrometheusRule {
  apiVersion: 'monitoring.coreos.com/v1'
  kind: 'PrometheusRule'
  metadata: { name: string; namespace: string; labels: Record<string, string> }
  spec: {
    groups: {
      name: string
      rules: {
        record?: string
        alert?: string
        expr: string
        for?: string
        labels?: Record<string, string>
        annotations?: Record<string, string>
      }[]
    }[]
  }
}
