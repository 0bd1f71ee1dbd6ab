import { read } from '../support/sources.ts'

interface PanelJson {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig?: {
    readonly defaults: {
      readonly noValue?: string
      readonly thresholds: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] }
    }
  }
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly instant?: true }[]
}

/** `dashboards/token-broker.json` as Grafana reads it. */
export const dashboard = JSON.parse(read('dashboards/token-broker.json')) as {
  readonly uid: string
  readonly schemaVersion: number
  readonly templating: { readonly list: readonly { readonly name: string }[] }
  readonly annotations: { readonly list: readonly { readonly expr: string }[] }
  readonly panels: readonly PanelJson[]
}

/** The panels that have queries. */
export const panels: readonly { readonly title: string; readonly queries: readonly string[] }[] = dashboard.panels
  .filter(({ type }) => type !== 'row')
  .map(({ title, targets = [] }) => ({ title, queries: targets.map(({ expr }) => expr) }))

/** The colour in which Grafana shows a number, by the thresholds of its panel. */
export function colourOf(title: string, value: number): string | undefined {
  const steps = dashboard.panels.find(panel => panel.title === title)?.fieldConfig?.defaults.thresholds.steps ?? []
  return steps.findLast(step => step.value === null || value >= step.value)?.color
}
