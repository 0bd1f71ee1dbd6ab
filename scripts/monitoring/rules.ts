import { stringify } from 'yaml'
import type { Alert } from './alert.ts'
import { objectiveAlerts, recordings } from './objectives.ts'
import { serviceAlerts } from './service-alerts.ts'
import { tokenAlerts } from './token-alerts.ts'

/** Every alert, in the order of the file. */
export const alerts: readonly Alert[] = [...tokenAlerts, ...serviceAlerts, ...objectiveAlerts]

/** The section of the runbook about an alert, as a path in the project. */
export const runbookOf = (alert: string): string => `docs/alerts.md#${alert.toLowerCase()}`

const ruleOf = ({ alert, expr, for: wait, severity, summary, description }: Alert) => ({
  alert,
  expr,
  ...(wait !== undefined && { for: wait }),
  labels: { severity },
  annotations: { summary, description, runbook_url: runbookOf(alert) },
})

/** The rule file of Prometheus, not formatted yet. */
export function rulesText(): string {
  const groups = [
    { name: 'token-broker-objectives', rules: recordings },
    { name: 'token-broker', rules: alerts.map(ruleOf) },
  ]
  return `# Written by "npm run monitoring". docs/alerts.md describes every alert.\n${stringify({ groups }, { lineWidth: 118, aliasDuplicateObjects: false })}`
}
