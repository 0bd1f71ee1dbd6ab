import type { Registry } from '@prometheus-io/client'
import type { CounterName, Counters, CounterSeries } from '../../broker/counters.ts'
import type { MetricName } from '../metric-table.ts'

/** The metric that each counter is. */
export const counterMetrics: readonly (readonly [name: CounterName, metric: MetricName])[] = [
  ['requests', 'token_broker_requests_total'],
  ['durations', 'token_broker_request_duration_seconds'],
  ['denials', 'token_broker_denials_total'],
  ['limited_requests', 'token_broker_limited_requests_total'],
  ['cache_requests', 'token_broker_cache_requests_total'],
  ['cache_refreshes', 'token_broker_cache_refreshes_total'],
  ['negative_cache_hits', 'token_broker_negative_cache_hits_total'],
  ['exchanges', 'token_broker_exchange_duration_seconds'],
  ['identity_fetches', 'token_broker_identity_fetch_duration_seconds'],
  ['shared_lookups', 'token_broker_shared_lookup_duration_seconds'],
  ['shared_stores', 'token_broker_shared_stores_total'],
  ['shared_leases', 'token_broker_shared_leases_total'],
  ['dropped_connections', 'token_broker_dropped_connections_total'],
]

/**
 * Reads the counters from the metrics: the same numbers as a scrape. It reads no gauge, because some of those begin anew
 * with each reading.
 */
export async function readCounters(registry: Registry): Promise<Counters> {
  const counters = counterMetrics.map(async ([name, metric]) => [name, await seriesOf(registry, metric)] as const)
  return new Map(await Promise.all(counters))
}

/** A value of a metric. Those of a histogram are named: buckets, the sum, and the number of events. */
interface Value {
  readonly value: number
  readonly labels: CounterSeries['labels']
  readonly metricName?: string
}

async function seriesOf(registry: Registry, name: MetricName): Promise<readonly CounterSeries[]> {
  const metric = registry.getSingleMetric(name)
  if (metric === undefined) throw new Error(`no metric is named ${name}`)
  const { type, values } = (await metric.get()) as { readonly type: string; readonly values: readonly Value[] }
  if (type !== 'histogram') return values.map(({ labels, value }) => ({ labels, count: value }))
  const valuesOf = (suffix: string) => values.filter(({ metricName }) => metricName === `${name}_${suffix}`)
  const sums = new Map(valuesOf('sum').map(({ labels, value }) => [keyOf(labels), value]))
  return valuesOf('count').map(({ labels, value }) => ({ labels, count: value, seconds: sums.get(keyOf(labels)) ?? 0 }))
}

const keyOf = (labels: Value['labels']): string => JSON.stringify(labels)
