/** One panel of the Grafana dashboard. */
export interface Panel {
  readonly title: string
  /** `stat` and `table` show the present, the others the selected time. */
  readonly type: 'stat' | 'timeseries' | 'heatmap' | 'table'
  /** A unit of Grafana. */
  readonly unit: 'short' | 's' | 'bytes' | 'percentunit' | 'reqps' | 'dtdurations'
  /** PromQL, with the variables of the dashboard, and how Grafana names its series. */
  readonly queries: readonly (readonly [expr: string, legend: string])[]
  /** What it shows. */
  readonly description: string
  /** What the panel shows without data: what that means. */
  readonly none: string
  /** The value from which on the panel is red; or, with `below`, under which. */
  readonly red?: Limit
  /** The same for orange, on the same side as `red`. */
  readonly orange?: number
  /** Words that the panel shows instead of values. */
  readonly words?: Readonly<Record<number, string>>
  /** Columns of the grid, of 24. */
  readonly width?: number
}

/** A value from which on, or below which, something is wrong. */
type Limit = { readonly from: number } | { readonly below: number }

/** The selected replicas. */
export const here = 'job="$job",instance=~"$instance"'
/** Per second, in the interval that the panel shows. */
export const rate = (series: string) => `rate(${series}[$__rate_interval])`
/** The same, summed by labels. */
export const by = (labels: string, series: string) => `sum by (${labels}) (${rate(series)})`
/** A quantile of a histogram's durations with one outcome. */
export const quantile = (of: number, histogram: string, outcome = 'ok') =>
  `histogram_quantile(${of}, ${by('le', `${histogram}_bucket{${here},outcome="${outcome}"}`)})`

/** What a panel may have besides its data. */
type More = Partial<Pick<Panel, 'none' | 'red' | 'orange' | 'words' | 'width'>>

/** A panel with the present value of a query; or of several series, each with its name. */
export const stat = (
  title: string,
  unit: Panel['unit'],
  query: string | Panel['queries'],
  description: string,
  more: More & Pick<Panel, 'none'>,
): Panel => ({
  title,
  type: 'stat',
  unit,
  queries: typeof query === 'string' ? [[query, '']] : query,
  description,
  ...more,
})

/** A panel with lines over time, of events: if there are none, it says so. */
export const lines = (
  title: string,
  unit: Panel['unit'],
  description: string,
  ...queries: Panel['queries']
): Panel => ({ title, type: 'timeseries', unit, queries, description, none: 'None in this time' })

/** The same panel, with another text for the case that it has no data. */
export const without = (none: string, panel: Panel): Panel => ({ ...panel, none })
/** For values that every replica has at all times. */
export const unscraped = 'No replica is scraped'

/** A panel that shows how many durations fall into each bucket of a histogram. */
export const heatmap = (title: string, description: string, expr: string): Panel => ({
  title,
  type: 'heatmap',
  unit: 's',
  queries: [[expr, '{{le}}']],
  description,
  none: 'None in this time',
})

/** A panel with one row for each series at present: its labels. */
export const table = (title: string, expr: string, description: string, more: More & Pick<Panel, 'none'>): Panel => ({
  title,
  type: 'table',
  unit: 'short',
  queries: [[expr, '']],
  description,
  ...more,
})
