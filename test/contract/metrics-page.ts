import type { MetricRow } from '../../src/telemetry/metric-table.ts'
import { metricTable } from '../../src/telemetry/metric-table.ts'
import { read } from '../support/sources.ts'

/** `docs/metrics.md`, as text and as the contents of its tables. */
export const page = read('docs/metrics.md')

/** The metrics of the source, by name. */
export const metrics: Readonly<Record<string, MetricRow>> = metricTable

/** The cells of the table rows below a heading, up to the next heading, without the table's head. */
export function rowsBelow(heading: string): readonly (readonly string[])[] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0]
  if (section === undefined) throw new Error(`there is no heading "${heading}"`)
  const lines = section.split('\n').filter(line => line.startsWith('|'))
  // A bar in a cell is written "\|".
  return lines.slice(2).map(line =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map(cell => cell.trim().replaceAll('\\|', '|')),
  )
}

/** The texts between backticks. */
export const codes = (cell = ''): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)

/** Labels whose values are names of the policy or of the deployment, so that no list can contain them. */
const open = new Set(['issuer', 'name', 'key', 'sha256', 'version', 'node'])

/** The values that the page lists for a label of a metric; `undefined` for labels whose values no list can contain. */
export function valuesOf(metric: string, label: string): ReadonlySet<string> | undefined {
  const rows = rowsBelow('Label values').filter(
    ([names, of]) => codes(names).includes(label) && codes(of).includes(metric),
  )
  if (rows.length !== 1) throw new Error(`${rows.length} rows describe the label ${label} of ${metric}`)
  if (open.has(label)) return undefined
  // A text in parentheses is an explanation.
  const listed = rows[0]?.[2]?.replace(/\([^()]*\)/g, '') ?? ''
  return new Set(codes(listed))
}

/** Every label value of the closed lists, as `metric label value`, and every open label as `metric label`. */
export const documented: ReadonlySet<string> = new Set(
  Object.entries(metrics).flatMap(([metric, { labels }]) =>
    labels.flatMap(label => {
      const values = valuesOf(metric, label)
      return values ? [...values].map(value => `${metric} ${label} ${value}`) : [`${metric} ${label}`]
    }),
  ),
)

/** The metric that a series belongs to. */
export const metricOf = (series: string): string =>
  series in metrics ? series : series.replace(/_(bucket|sum|count)$/, '')
