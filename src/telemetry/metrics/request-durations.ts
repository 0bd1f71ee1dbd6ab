import { Histogram, type Registry } from '@prometheus-io/client'
import type { Events } from '../../broker/events.ts'
import { metricTable } from '../metric-table.ts'

/** Seconds. A cached token takes less than a millisecond, one with an exchange as long as that, up to its deadline. */
export const requestBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Adds the histogram of the duration of requests. @returns what observes one */
export function observeDurations(registry: Registry): Events['responseReady'] {
  const name = 'token_broker_request_duration_seconds'
  const { help, labels } = metricTable[name]
  const durations = new Histogram({ name, help, labelNames: labels, registers: [registry], buckets: requestBuckets })
  return (endpoint, outcome, seconds) => durations.observe({ endpoint, outcome }, seconds)
}
