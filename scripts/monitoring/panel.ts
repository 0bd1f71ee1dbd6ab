/** One panel of the Grafana dashboard. */
export interface Panel {
  readonly title: string
  readonly type: 'stat' | 'timeseries' | 'heatmap'
  /** A unit of Grafana. */
  readonly unit: 'short' | 's' | 'bytes' | 'percentunit' | 'reqps' | 'dateTimeFromNow'
  /** PromQL, with the variables of the dashboard, and how Grafana names its series. */
  readonly queries: readonly (readonly [expr: string, legend: string])[]
  /** One sentence. */
  readonly description: string
  /** The value from which on the panel is red; or, with `below`, under which. */
  readonly red?: { readonly from: number } | { readonly below: number }
}

/** The selected replicas. */
export const here = 'job="$job",instance=~"$instance"'
/** Per second, in the interval that the panel shows. */
export const rate = (series: string) => `rate(${series}[$__rate_interval])`
/** The same, summed by labels. */
export const by = (labels: string, series: string) => `sum by (${labels}) (${rate(series)})`
/** A quantile of a histogram's durations with one outcome. */
export const quantile = (of: number, histogram: string, outcome = 'ok') =>
  `histogram_quantile(${of}, ${by('le', `${histogram}_bucket{${here},outcome="${outcome}"}`)})`

/** A panel with one number. */
export const stat = (
  title: string,
  unit: Panel['unit'],
  expr: string,
  description: string,
  red?: NonNullable<Panel['red']>,
): Panel => ({ title, type: 'stat', unit, queries: [[expr, '']], description, ...(red && { red }) })

/** A panel with lines over time. */
export const lines = (
  title: string,
  unit: Panel['unit'],
  description: string,
  ...queries: Panel['queries']
): Panel => ({
  title,
  type: 'timeseries',
  unit,
  queries,
  description,
})

/** A panel that shows how many durations fall into each bucket of a histogram. */
export const heatmap = (title: string, description: string, expr: string): Panel => ({
  title,
  type: 'heatmap',
  unit: 's',
  queries: [[expr, '{{le}}']],
  description,
})
