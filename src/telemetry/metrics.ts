import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client'
import { countRefusals } from './metrics/refusals.ts'
import { countRequests } from './metrics/requests.ts'
import { observeDurations } from './metrics/request-durations.ts'
import { readersOf, type Readers } from './metrics/readers.ts'
import type { CacheStatistics } from '../broker/tokens/cache-statistics.ts'
import { maxEnds, type End } from '../broker/ends.ts'
import type { UpstreamHealth } from '../broker/health.ts'
import type { PolicyStatus } from '../broker/authorization/active-policy.ts'
import { circuitStates, dropReasons, type CircuitState, type Events } from '../broker/events.ts'
import type { SecondLevelStatus } from '../broker/tokens/second-level.ts'
import { createSharedMetrics } from './metrics/shared-metrics.ts'
import { refreshResults } from './metrics/refresh-results.ts'
import { metricTable, reloadOutcomes, type MetricName, type ReloadOutcome, type Waiting } from './metric-table.ts'

/** Values that are read at each scrape, rather than counted as events happen. */
export interface Gauges {
  readonly cache: () => CacheStatistics
  readonly upstreams: () => readonly UpstreamHealth[]
  readonly circuit: () => CircuitState
  readonly isReady: () => boolean
  readonly policy: () => PolicyStatus
  /** When the certificates in use end. */
  readonly certificates: () => readonly End[]
  /** The second level; `undefined` if there is none. */
  readonly secondLevel: () => SecondLevelStatus | undefined
  /** The broker's version. */
  readonly version: string
}

/** Counts the broker's events, and exposes them to Prometheus. */
export interface Metrics extends Omit<Events, 'unauthenticated' | 'circuit' | 'clockCompared'>, Readers {
  /** Counts the events of the second level. */
  readonly shared: ReturnType<typeof createSharedMetrics>
  /** Stops measuring the event loop. */
  readonly close: () => void
}

/** Seconds. An exchange normally takes 50 to 500 ms, and 5 s is the default deadline. */
const buckets = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const loopResolutionMs = 20

/** Creates the metrics. They measure the delay of the event loop until they are closed. */
export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry()
  const settings = (name: MetricName) => settingsOf(name, registry)
  const verifications = new Counter(settings('token_broker_caller_verifications_total'))
  const ignored = new Counter(settings('token_broker_ignored_headers_total'))
  const droppedConnections = new Counter(settings('token_broker_dropped_connections_total'))
  const refreshes = new Counter(settings('token_broker_cache_refreshes_total'))
  const negativeHits = new Counter(settings('token_broker_negative_cache_hits_total'))
  const purged = new Counter(settings('token_broker_cache_purged_total'))
  const reloads = new Counter(settings('token_broker_policy_reloads_total'))
  // A series that exists from the start has no first increase that a rate would miss.
  for (const reason of dropReasons) droppedConnections.inc({ reason }, 0)
  for (const outcome of refreshResults) refreshes.inc({ outcome }, 0)
  for (const outcome of reloadOutcomes) reloads.inc({ outcome }, 0)
  const reloaded = (outcome: ReloadOutcome) => reloads.inc({ outcome })
  const agentSteps = new Counter(settings('token_broker_agent_identity_requests_total'))
  const opaque = new Counter(settings('token_broker_opaque_tokens_total'))
  let statistics: CacheStatistics | undefined
  readCache(registry, () => statistics ?? gauges.cache())
  readState(registry, gauges)
  const stopWatching = watchProcess(registry)

  return {
    ...countRequests(registry),
    responseReady: observeDurations(registry),
    ...countRefusals(registry),
    verification: (issuer = '', outcome) => verifications.inc({ issuer, outcome }),
    connectionDropped: reason => droppedConnections.inc({ reason }),
    headerIgnored: header => ignored.inc({ header }),
    refreshed: (_grant, outcome, error) => refreshes.inc({ outcome: error?.reason ?? outcome }),
    negativeCacheHit: (_grant, { reason }) => negativeHits.inc({ reason }),
    purged: (_request, _caller, _filter, dropped) => purged.inc(dropped),
    opaqueToken: () => opaque.inc(),
    policyLoaded: () => reloaded('loaded'),
    policyRefused: () => reloaded('refused'),
    agentStepEnded: (step, error) => agentSteps.inc({ step, outcome: error?.reason ?? 'ok' }),
    upstreamCalled: countUpstreamRequests(registry),
    shared: createSharedMetrics(registry, gauges.secondLevel),
    // Read once for all gauges of one reading.
    ...readersOf(registry, () => (statistics = gauges.cache())),
    close: stopWatching,
  }
}

/** Measures requests to upstreams: their duration, or their number. */
function countUpstreamRequests(registry: Registry): Events['upstreamCalled'] {
  const settings = (name: MetricName) => settingsOf(name, registry)
  const exchanges = new Histogram({ ...settings('token_broker_exchange_duration_seconds'), buckets })
  const identity = new Histogram({ ...settings('token_broker_identity_fetch_duration_seconds'), buckets })
  const keys = new Counter(settings('token_broker_issuer_key_fetches_total'))
  return ({ kind, name }, seconds, error) => {
    const outcome = error?.reason ?? 'ok'
    if (kind === 'authority') exchanges.observe({ outcome }, seconds)
    else if (kind === 'identity') identity.observe({ outcome }, seconds)
    else keys.inc({ issuer: name, outcome })
  }
}

function settingsOf(name: MetricName, registry: Registry) {
  const { help, labels } = metricTable[name]
  return { name, help, labelNames: [...labels] as string[], registers: [registry] }
}

/** Adds a metric without labels that is read at each scrape. */
function onScrape(registry: Registry, name: MetricName, read: () => number): void {
  const settings = { ...settingsOf(name, registry), registers: [] }
  const metric =
    metricTable[name].type === 'gauge'
      ? new Gauge({
          ...settings,
          collect() {
            this.set(read())
          },
        })
      : new Counter({
          ...settings,
          collect() {
            this.reset()
            this.inc(read())
          },
        })
  registry.registerMetric(metric)
}

/** Adds a gauge with labels that is read at each scrape. A series that `read` no longer returns disappears. */
function seriesOnScrape(
  registry: Registry,
  name: MetricName,
  read: () => readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[],
): void {
  const metric = new Gauge({
    ...settingsOf(name, registry),
    registers: [],
    collect() {
      this.reset()
      for (const [labels, value] of read()) this.set(labels, value)
    },
  })
  registry.registerMetric(metric)
}

function readCache(registry: Registry, read: Gauges['cache']): void {
  onScrape(registry, 'token_broker_cache_evictions_total', () => read().evictions)
  onScrape(registry, 'token_broker_cache_entries', () => read().entries)
  onScrape(registry, 'token_broker_cache_max_entries', () => read().maxEntries)
  onScrape(registry, 'token_broker_cache_fetches_in_flight', () => read().fetching)
  onScrape(registry, 'token_broker_upstream_exchanges_in_flight', () => read().load.running)
  seriesOnScrape(registry, 'token_broker_fair_queue_length', () => {
    const { waiting, background } = read().load
    const counts: Readonly<Record<Waiting, number>> = { callers: waiting - background, background }
    return Object.entries(counts).map(([queue, count]) => [{ queue }, count] as const)
  })
  seriesOnScrape(registry, 'token_broker_negative_cache_entries', () =>
    read().failures.map(({ level, reason, count }) => [{ level, reason }, count] as const),
  )
  onScrape(registry, 'token_broker_cache_entries_at_risk', () => read().atRisk)
  onScrape(registry, 'token_broker_cache_at_risk_usable_seconds', () => read().atRiskUsableSeconds ?? Number.NaN)
}

function readState(registry: Registry, { circuit, isReady, policy, certificates, upstreams, version }: Gauges): void {
  seriesOnScrape(registry, 'token_broker_upstream_circuit_state', () =>
    circuitStates.map(state => [{ state }, Number(state === circuit())] as const),
  )
  onScrape(registry, 'token_broker_ready', () => Number(isReady()))
  seriesOnScrape(registry, 'token_broker_policy_info', () => [[{ sha256: policy().policy.version }, 1]])
  onScrape(registry, 'token_broker_policy_loaded_timestamp_seconds', () => policy().loadedAt / 1000)
  onScrape(registry, 'token_broker_policy_refused', () => Number(policy().rejection !== undefined))
  seriesOnScrape(registry, 'token_broker_api_key_expiry_timestamp_seconds', () =>
    policy()
      .policy.apiKeys.toSorted((a, b) => a.expiresAt - b.expiresAt)
      .map(({ name, expiresAt }) => [{ key: name }, expiresAt / 1000] as const),
  )
  seriesOnScrape(registry, 'token_broker_certificate_expiry_timestamp_seconds', () =>
    soonestEnds(certificates()).map(({ kind, name, endsAt }) => [{ kind, name }, endsAt / 1000] as const),
  )
  seriesOnScrape(registry, 'token_broker_build_info', () => [[{ version, node: process.version }, 1]])
  seriesOnScrape(registry, 'token_broker_upstream_healthy', () =>
    upstreams()
      .filter(({ status }) => status !== 'unknown')
      .map(({ upstream: { kind, name }, status }) => [{ kind, name }, Number(status === 'ok')] as const),
  )
  seriesOnScrape(registry, 'token_broker_upstream_clock_offset_seconds', () =>
    upstreams().flatMap(({ upstream: { kind, name }, clockOffset }) =>
      clockOffset === undefined ? [] : [[{ kind, name }, clockOffset] as const],
    ),
  )
}

/** The ends that come first, at most {@link maxEnds}. Of several certificates with one name, the last end counts. */
const soonestEnds = (ends: readonly End[]): readonly End[] => {
  const last = new Map<string, End>()
  for (const end of ends) {
    const key = `${end.kind} ${end.name}`
    if (end.endsAt >= (last.get(key)?.endsAt ?? 0)) last.set(key, end)
  }
  return [...last.values()].toSorted((a, b) => a.endsAt - b.endsAt).slice(0, maxEnds)
}

/**
 * Adds the metrics of the process. The library's own set has timers, and names that `promtool check metrics` rejects.
 * @returns a function that stops measuring
 */
function watchProcess(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: loopResolutionMs })
  delay.enable()
  onScrape(registry, 'token_broker_event_loop_delay_p99_seconds', () => lateness(delay.percentile(99)))
  onScrape(registry, 'token_broker_event_loop_delay_max_seconds', () => {
    const worst = lateness(delay.max)
    delay.reset()
    return worst
  })
  onScrape(registry, 'process_cpu_seconds_total', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  onScrape(registry, 'process_resident_memory_bytes', () => process.memoryUsage.rss())
  onScrape(registry, 'process_start_time_seconds', () => performance.timeOrigin / 1000)
  onScrape(registry, 'nodejs_heap_used_bytes', () => getHeapStatistics().used_heap_size)
  onScrape(registry, 'nodejs_heap_total_bytes', () => getHeapStatistics().total_heap_size)
  onScrape(registry, 'nodejs_heap_limit_bytes', () => getHeapStatistics().heap_size_limit)
  onScrape(registry, 'nodejs_external_memory_bytes', () => process.memoryUsage().external)
  return () => delay.disable()
}

/** Seconds beyond the sampling interval, which Node counts into the delay (nanoseconds). */
const lateness = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - loopResolutionMs / 1000)
