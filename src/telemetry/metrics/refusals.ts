import { Counter, type Registry } from '@prometheus-io/client'
import type { LimitFacts } from '../../errors.ts'
import type { Events } from '../../broker/events.ts'
import { metricTable, type MetricName } from '../metric-table.ts'

/** Every limit of the policy. */
const limits = ['requests', 'exchanges', 'tenant'] as const satisfies readonly LimitFacts['what'][]

/** Counts what the policy denies and what its limits refuse. */
export function countRefusals(registry: Registry): Pick<Events, 'refused' | 'forbidden'> {
  const counter = (name: MetricName) => {
    const { help, labels } = metricTable[name]
    return new Counter({ name, help, labelNames: [...labels] as string[], registers: [registry] })
  }
  const denials = counter('token_broker_denials_total')
  const limited = counter('token_broker_limited_requests_total')
  for (const limit of limits) limited.inc({ limit }, 0)
  return {
    refused: ({ endpoint }, _caller, _request, { code, reason, parts }) => {
      if (code === 'not_permitted') denials.inc({ endpoint, reason })
      if (parts.limit) limited.inc({ limit: parts.limit.what })
    },
    forbidden: ({ endpoint }, _caller, _permission, { reason }) => denials.inc({ endpoint, reason }),
  }
}
