import type { Registry } from '@prometheus-io/client'
import type { Counters } from '../../broker/counters.ts'
import { readCounters } from './counters.ts'
import { openMetricsOf } from './open-metrics.ts'
import { readSamples, type MetricSamples } from './samples.ts'

/** What reads the metrics. */
export interface Readers {
  /**
   * Everything in `metricTable`, and its content type: in the text exposition format, version 0.0.4, or in OpenMetrics
   * 1.0.
   */
  readonly scrape: (openMetrics: boolean) => Promise<{ readonly text: string; readonly contentType: string }>
  /** Everything in `metricTable`, as numbers. Like a scrape, it resets the gauges of the event loop. */
  readonly samples: () => Promise<readonly MetricSamples[]>
  /** The counters among the metrics. */
  readonly counters: () => Promise<Counters>
}

/**
 * Creates the readers of a registry.
 * @param refresh is called before gauges are read
 */
export function readersOf(registry: Registry, refresh: () => void): Readers {
  return {
    scrape: async openMetrics => {
      refresh()
      const text = await registry.metrics()
      return openMetrics ? openMetricsOf(text) : { text, contentType: registry.contentType }
    },
    samples: () => {
      refresh()
      return readSamples(registry)
    },
    counters: () => readCounters(registry),
  }
}
