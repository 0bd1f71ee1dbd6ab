import { join } from 'node:path'
import { parse } from 'yaml'
import { read } from '../support/sources.ts'

/** One alert as Prometheus reads it. */
export interface AlertRule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string }
}
/** One recorded query as Prometheus reads it. */
export interface RecordedRule {
  readonly record: string
  readonly expr: string
}

const file = 'alerts/token-broker.rules.yaml'
/** The absolute path of the rule file. */
export const rulesFile = join(import.meta.dirname, '../..', file)

const { groups } = parse(read(file)) as { groups: readonly { rules: readonly (AlertRule | RecordedRule)[] }[] }
const rules = groups.flatMap(group => group.rules)
/** The alerts of the rule file, in its order. */
export const alerts: readonly AlertRule[] = rules.filter(rule => 'alert' in rule)
/** The recorded queries of the rule file. */
export const recordings: readonly RecordedRule[] = rules.filter(rule => 'record' in rule)
