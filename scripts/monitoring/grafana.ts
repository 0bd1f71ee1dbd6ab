import type {
  Dashboard as GrafanaDashboard,
  Panel,
  RowPanel,
} from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen'
import type { Options as HeatmapOptions } from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen'
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen'
import type { Options as TableOptions } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen'
import type { Options as TimeSeriesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen'

// Grafana's own types, so that the compiler reports what Grafana does not know: a wrong field, or a wrong value of one.

/** A type of Grafana as JSON has it: with the text of an enum's value, and read-only. */
type Json<T> = T extends string
  ? `${T}`
  : T extends readonly (infer Item)[]
    ? readonly Json<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: Json<T[Key]> }
      : T

/** Grafana has a default for each field that is absent. */
type WithDefaults<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Key in keyof T]?: WithDefaults<T[Key]> }
    : T

/** A query of Prometheus, as panels have it. */
export interface PrometheusTarget {
  readonly refId: string
  readonly datasource: Json<Panel>['datasource']
  readonly expr: string
  readonly legendFormat: string
  readonly range: boolean
  readonly instant?: true
  readonly format?: 'heatmap' | 'table'
}

/** The options of each type of panel. */
export interface OptionsOf {
  readonly stat: Json<WithDefaults<StatOptions>>
  readonly timeseries: Json<WithDefaults<TimeSeriesOptions>>
  readonly heatmap: Json<WithDefaults<HeatmapOptions>>
  readonly table: Json<WithDefaults<TableOptions>>
}

/** A panel with queries. */
export interface QueryPanel extends Omit<Json<Panel>, 'options' | 'targets' | 'type'> {
  readonly type: keyof OptionsOf
  readonly options: OptionsOf[keyof OptionsOf]
  readonly targets: readonly PrometheusTarget[]
}

/** A row, above its panels. */
export type Row = Json<RowPanel>

/** What an annotation has besides Grafana's fields, if Prometheus is its source. */
interface PrometheusAnnotation {
  readonly expr: string
  readonly titleFormat: string
  readonly step: string
}

type Annotation = Json<NonNullable<NonNullable<GrafanaDashboard['annotations']>['list']>[number]> & PrometheusAnnotation

/** A variable of the dashboard. */
export type Variable = Json<NonNullable<NonNullable<GrafanaDashboard['templating']>['list']>[number]>

/** A dashboard in Grafana's Classic JSON. */
export interface Dashboard extends Omit<Json<GrafanaDashboard>, 'panels' | 'annotations'> {
  readonly annotations: { readonly list: readonly Annotation[] }
  readonly panels: readonly (QueryPanel | Row)[]
}
