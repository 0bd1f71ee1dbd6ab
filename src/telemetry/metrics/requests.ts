import { Counter, type Registry } from '@prometheus-io/client'
import { cacheOutcomes, type Events } from '../../broker/events.ts'
import { metricTable, type MetricName } from '../metric-table.ts'

/**
 * Counts requests by their outcome, and how the cache served those that got a token. A cache hit, which is what most
 * requests are, adds to a plain number; the numbers are added to the counters when these are read. That costs a tenth of
 * the counters' own look-up by labels.
 */
export function countRequests(registry: Registry): Pick<Events, 'issued' | 'responded'> {
  const hits = new Map<string, { count: number }>()
  const flush = (): void => {
    for (const [endpoint, hit] of hits) {
      requests.inc({ endpoint, outcome: 'issued' }, hit.count)
      served.inc({ result: 'hit' }, hit.count)
      hit.count = 0
    }
  }
  const counter = (name: MetricName) => {
    const { help, labels } = metricTable[name]
    return new Counter({ name, help, labelNames: [...labels] as string[], registers: [registry], collect: flush })
  }
  const requests = counter('token_broker_requests_total')
  const served = counter('token_broker_cache_requests_total')
  for (const result of cacheOutcomes) served.inc({ result }, 0)
  return {
    issued: ({ endpoint }, _grant, _token, how) => {
      if (how === 'hit') {
        const hit = hits.get(endpoint)
        if (hit) hit.count += 1
        else hits.set(endpoint, { count: 1 })
        return
      }
      requests.inc({ endpoint, outcome: 'issued' })
      served.inc({ result: how })
    },
    responded: (endpoint, outcome) => requests.inc({ endpoint, outcome }),
  }
}
