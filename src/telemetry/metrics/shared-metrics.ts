import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import { leaseOutcomes, sharedStoreOutcomes, type SecondLevelEvents } from '../../broker/events.ts'
import type { SecondLevelStatus } from '../../broker/tokens/second-level.ts'
import { metricTable, type MetricName } from '../metric-table.ts'

/** Seconds. Redis in the same network responds within one to three milliseconds, and is given up after 250. */
const lookUpBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25]
/** Seconds. A replica that was stopped applies a purge when it continues. */
const lagBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60]

/**
 * Adds the metrics of the second level.
 *
 * @param status returns `undefined` if there is no second level: then its gauges are absent
 * @returns what counts its events, except its availability, which is read at each scrape
 */
export function createSharedMetrics(
  registry: Registry,
  status: () => SecondLevelStatus | undefined,
): Omit<SecondLevelEvents, 'secondLevelChanged'> {
  const settings = (name: MetricName) => {
    const { help, labels } = metricTable[name]
    return { name, help, labelNames: [...labels] as string[], registers: [registry] }
  }
  const gauge = (name: MetricName, read: (status: SecondLevelStatus | undefined) => number | undefined): void => {
    registry.registerMetric(
      new Gauge({
        ...settings(name),
        registers: [],
        collect() {
          this.reset()
          const value = read(status())
          if (value === undefined) this.remove()
          else this.set(value)
        },
      }),
    )
  }
  gauge('token_broker_shared_available', current => current && Number(current.isUp))
  gauge('token_broker_shared_replicas', current => current?.replicas?.length)
  const lookUps = new Histogram({ ...settings('token_broker_shared_lookup_duration_seconds'), buckets: lookUpBuckets })
  const stores = new Counter(settings('token_broker_shared_stores_total'))
  const leases = new Counter(settings('token_broker_shared_leases_total'))
  const lags = new Histogram({ ...settings('token_broker_shared_purge_lag_seconds'), buckets: lagBuckets })
  // A counter that exists from the start has no first increase that a rate would miss.
  for (const outcome of sharedStoreOutcomes) stores.inc({ outcome }, 0)
  for (const outcome of leaseOutcomes) leases.inc({ outcome }, 0)
  return {
    sharedLookUp: (outcome, seconds) => lookUps.observe({ outcome }, seconds),
    sharedStore: outcome => stores.inc({ outcome }),
    lease: outcome => leases.inc({ outcome }),
    purgeReceived: seconds => lags.observe(seconds),
  }
}
