/** The content type of {@link toOpenMetrics}. */
export const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/**
 * Turns the text exposition format, version 0.0.4, into OpenMetrics 1.0
 * (https://prometheus.io/docs/specs/om/open_metrics_spec/). A counter's family has no `_total`, only its series; quotes in
 * help texts are escaped; bounds of buckets are floating-point numbers; there are no empty lines, and the last line is
 * `# EOF`. The client library's own format renames the metrics themselves, so it cannot be used beside the other one.
 */
export function toOpenMetrics(text: string): string {
  const lines = text.split('\n').filter(line => line !== '')
  const counters = new Set(lines.flatMap(line => /^# TYPE (\S+)_total counter$/.exec(line)?.[1] ?? []))
  return `${lines.map(line => openMetricsLine(line, counters)).join('\n')}\n# EOF\n`
}

/** The text format as OpenMetrics, with its content type. */
export const openMetricsOf = (text: string): { readonly text: string; readonly contentType: string } => ({
  text: toOpenMetrics(text),
  contentType: openMetricsType,
})

function openMetricsLine(line: string, counters: ReadonlySet<string>): string {
  const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
  if (keyword === undefined) return line.replace(/([{,]le="-?\d+)"/, '$1.0"').replace(/ Nan$/, ' NaN')
  const family = name.replace(/_total$/, '')
  return `# ${keyword} ${counters.has(family) ? family : name} ${keyword === 'HELP' ? rest.replaceAll('"', '\\"') : rest}`
}
