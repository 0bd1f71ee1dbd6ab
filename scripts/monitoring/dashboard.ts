import type { Dashboard, OptionsOf, QueryPanel, Row, Variable } from './grafana.ts'
import type { Panel } from './panel.ts'
import { rows } from './panels.ts'

const datasource = { type: 'prometheus', uid: '${datasource}' }
/** Grafana's grid has 24 columns. */
const columns = 24

type Thresholds = NonNullable<NonNullable<QueryPanel['fieldConfig']>['defaults']['thresholds']>

const thresholdsOf = ({ red }: Panel): Thresholds => {
  if (!red) return { mode: 'absolute', steps: [{ color: 'green', value: null }] }
  const [first, then, value] = 'from' in red ? ['green', 'red', red.from] : ['red', 'green', red.below]
  return {
    mode: 'absolute',
    steps: [
      { color: first, value: null },
      { color: then, value },
    ],
  }
}

const panelOf = (panel: Panel, id: number, x: number, y: number): QueryPanel => {
  const { width, height } = sizeOf(panel)
  return {
    id,
    type: panel.type,
    title: panel.title,
    description: panel.description,
    datasource,
    gridPos: { x, y, w: width, h: height },
    fieldConfig: { defaults: { unit: panel.unit, thresholds: thresholdsOf(panel) }, overrides: [] },
    options: options[panel.type](panel.unit),
    targets: panel.queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource,
      expr,
      legendFormat,
      range: true,
      ...(panel.type === 'heatmap' && { format: 'heatmap' }),
    })),
  }
}

// Each with the type of what it returns: else the compiler accepts fields that Grafana does not know.
const options = {
  stat: (): OptionsOf['stat'] => ({
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    colorMode: 'value',
  }),
  timeseries: (): OptionsOf['timeseries'] => ({
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
    tooltip: { mode: 'multi', sort: 'desc' },
  }),
  // The buckets are counted already, so Grafana must not calculate them.
  heatmap: (unit: Panel['unit']): OptionsOf['heatmap'] => ({
    calculate: false,
    cellGap: 1,
    color: { mode: 'scheme', scheme: 'Oranges', steps: 64 },
    legend: { show: true },
    tooltip: { mode: 'single', yHistogram: false },
    yAxis: { unit },
  }),
}

const sizes = {
  stat: { width: 4, height: 4 },
  timeseries: { width: 8, height: 8 },
  heatmap: { width: columns, height: 8 },
} as const
const sizeOf = ({ type }: Panel) => sizes[type]

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
