import type { Dashboard, OptionsOf, QueryPanel, Row, Variable } from './grafana.ts'
import type { Panel } from './panel.ts'
import { rows } from './panels.ts'

const datasource = { type: 'prometheus', uid: '${datasource}' }
/** Grafana's grid has 24 columns. */
const columns = 24

type Defaults = NonNullable<QueryPanel['fieldConfig']>['defaults']

/** Colours by value, the lowest first. */
function thresholdsOf({ red, orange }: Panel): NonNullable<Defaults['thresholds']> {
  if (!red) return { mode: 'absolute', steps: [{ color: 'green', value: null }] }
  const isBelow = 'below' in red
  const limit = isBelow ? red.below : red.from
  const steps: { color: string; value: number | null }[] = [{ color: isBelow ? 'red' : 'green', value: null }]
  if (orange !== undefined) steps.push({ color: 'orange', value: isBelow ? limit : orange })
  steps.push({ color: isBelow ? 'green' : 'red', value: isBelow ? (orange ?? limit) : limit })
  return { mode: 'absolute', steps }
}

/** The words that stand for values. */
function mappingsOf({ words }: Panel): NonNullable<Defaults['mappings']> {
  if (!words) return []
  const options = Object.entries(words).map(([value, text], index) => [value, { text, index }] as const)
  return [{ type: 'value', options: Object.fromEntries(options) }]
}

/** Of the present: the last value of a longer time would be shown long after a series has ended. */
const isOfNow = ({ type }: Panel): boolean => type === 'stat' || type === 'table'

const panelOf = (panel: Panel, id: number, x: number, y: number): QueryPanel => {
  const { width, height } = sizeOf(panel)
  return {
    id,
    type: panel.type,
    title: panel.title,
    description: panel.description,
    datasource,
    gridPos: { x, y, w: width, h: height },
    fieldConfig: {
      defaults: {
        // The values of a heatmap are numbers of events; its axis has the unit.
        unit: panel.type === 'heatmap' ? 'short' : panel.unit,
        noValue: panel.none,
        mappings: mappingsOf(panel),
        thresholds: thresholdsOf(panel),
      },
      overrides: [],
    },
    options: options[panel.type](panel),
    targets: panel.queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource,
      expr,
      legendFormat,
      ...(isOfNow(panel) ? { instant: true, range: false } : { range: true }),
      ...((panel.type === 'heatmap' || panel.type === 'table') && { format: panel.type }),
    })),
    ...(panel.type === 'table' && { transformations: [labelsOnly] }),
  }
}

const labelsOnly = { id: 'organize', options: { excludeByName: { Time: true, Value: true } } }

// Each with the type of what it returns: else the compiler accepts fields that Grafana does not know.
const options = {
  stat: ({ queries }: Panel): OptionsOf['stat'] => ({
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    colorMode: 'value',
    graphMode: 'none',
    textMode: queries.some(([, legend]) => legend !== '') ? 'value_and_name' : 'value',
  }),
  table: (): OptionsOf['table'] => ({ showHeader: true }),
  timeseries: (): OptionsOf['timeseries'] => ({
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
    tooltip: { mode: 'multi', sort: 'desc' },
  }),
  // The buckets are counted already, so Grafana must not calculate them.
  heatmap: ({ unit }: Panel): OptionsOf['heatmap'] => ({
    calculate: false,
    cellGap: 1,
    color: { mode: 'scheme', scheme: 'Oranges', steps: 64 },
    legend: { show: true },
    tooltip: { mode: 'single', yHistogram: false },
    cellValues: { unit: 'short' },
    yAxis: { unit },
  }),
}

const sizes = {
  stat: { width: 4, height: 4 },
  timeseries: { width: 8, height: 8 },
  heatmap: { width: columns, height: 8 },
  table: { width: columns, height: 6 },
} as const
const sizeOf = ({ type, width = sizes[type].width }: Panel) => ({ width, height: sizes[type].height })

/** All rows with their panels, from left to right. */
function layout(): readonly (QueryPanel | Row)[] {
  const placed: (QueryPanel | Row)[] = []
  let y = 0
  for (const [title, panels] of rows) {
    placed.push({
      id: placed.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: columns, h: 1 },
    })
    y += 1
    let x = 0
    let height = 0
    for (const panel of panels) {
      const size = sizeOf(panel)
      if (x + size.width > columns) {
        x = 0
        y += size.height
      }
      placed.push(panelOf(panel, placed.length + 1, x, y))
      x += size.width
      height = size.height
    }
    y += height
  }
  return placed
}

const queryVariable = (name: string, label: string, query: string, many: boolean): Variable => ({
  name,
  label,
  type: 'query',
  datasource,
  query: { query, refId: name },
  refresh: 2,
  sort: 1,
  multi: many,
  includeAll: many,
  ...(many && { allValue: '.+', current: { text: 'All', value: '$__all' } }),
})

/** The dashboard in Grafana's Classic JSON, not formatted yet. */
export function dashboardText(): string {
  const dashboard: Dashboard = {
    uid: 'token-broker',
    title: 'Token broker',
    tags: ['token-broker'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', refresh: 1 },
        queryVariable('job', 'Job', 'label_values(token_broker_build_info, job)', false),
        queryVariable('instance', 'Replica', 'label_values(token_broker_build_info{job="$job"}, instance)', true),
      ],
    },
    annotations: {
      list: [
        {
          name: 'Policy changes',
          datasource,
          enable: true,
          iconColor: 'blue',
          expr: 'changes(token_broker_policy_loaded_timestamp_seconds{job="$job",instance=~"$instance"}[$__rate_interval]) > 0',
          titleFormat: 'Policy loaded at {{instance}}',
          step: '60s',
        },
      ],
    },
    panels: layout(),
  }
  return JSON.stringify(dashboard)
}
