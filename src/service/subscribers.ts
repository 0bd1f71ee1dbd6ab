import type { Clock } from '../broker/lib/clock.ts'
import { apiKeyEnds } from '../broker/ends.ts'
import { createHealth } from '../broker/health.ts'
import { policyWarnings } from '../broker/policy/file/warnings.ts'
import type { Policy } from '../broker/policy/model.ts'
import type { ActivePolicy } from '../broker/authorization/active-policy.ts'
import type { Events, SecondLevelEvents, Upstream } from '../broker/events.ts'
import type { Config } from '../config/config.ts'
import { issuerUpstream } from '../outbound/issuers/issuer-keys.ts'
import { version } from './package.ts'
import { createAudit } from '../telemetry/audit.ts'
import { logDroppedConnections } from '../telemetry/dropped-connections.ts'
import { createRecentDecisions } from '../telemetry/recent-decisions.ts'
import { createLogs, type Logs } from '../telemetry/log.ts'
import { createMetrics, type Gauges, type Metrics } from '../telemetry/metrics.ts'
import type { LineSink } from '../telemetry/output.ts'

/** State of the broker that the subscribers read on demand, such as for a scrape. */
interface Observed extends Pick<Gauges, 'isReady' | 'cache' | 'circuit' | 'certificates' | 'secondLevel'> {
  readonly clock: Clock
  /** The name of this replica. */
  readonly replica: string
  readonly isDraining: () => boolean
  /** Is called when another policy is active. */
  readonly policyLoaded?: () => void
}

/** Settings of the subscribers. */
export interface SubscriberSettings extends Pick<Config, 'audit' | 'logLevel'> {
  /** Exact texts that must never appear in a log line. */
  readonly secrets: readonly string[]
  /** Whether client certificates are verified. */
  readonly certificates: boolean
  /** All upstream services that requests can lead to under a policy. */
  readonly upstreams: (policy: Policy) => readonly Upstream[]
}

/**
 * Creates the subscribers of the broker's events (log, audit, metrics and health), and what the operations endpoints
 * report of them.
 */
export function createSubscribers(
  settings: SubscriberSettings,
  active: Pick<ActivePolicy, 'status'>,
  sink: LineSink,
  { clock, replica, isReady, isDraining, cache, circuit, certificates, secondLevel, policyLoaded }: Observed,
) {
  const logs = createLogs(settings.logLevel, sink, settings.secrets)
  const audit = createAudit(logs, sink, {
    mode: settings.audit,
    now: clock.now,
    policyVersion: () => active.status().policy.version,
  })
  const decisions = createRecentDecisions(logs.scrub, clock.now)
  const health = createHealth(settings.upstreams(active.status().policy), clock)
  const state = { isReady, policy: active.status, upstreams: health.report, secondLevel }
  const metrics = createMetrics({ ...state, cache, circuit, certificates, version })
  const events: Events = {
    issued: both(audit.issued, metrics.issued),
    refused: both(both(audit.refused, metrics.refused), decisions.refused),
    unauthenticated: audit.unauthenticated,
    forbidden: both(both(audit.forbidden, metrics.forbidden), decisions.forbidden),
    refreshed: both(audit.refreshed, metrics.refreshed),
    negativeCacheHit: metrics.negativeCacheHit,
    purged: both(audit.purged, metrics.purged),
    circuit: health.circuit,
    upstreamCalled: both(health.upstreamCalled, metrics.upstreamCalled),
    agentStepEnded: metrics.agentStepEnded,
    clockCompared: health.clockCompared,
    verification: metrics.verification,
    headerIgnored: metrics.headerIgnored,
    connectionDropped: both(logDroppedConnections(logs, clock.now), metrics.connectionDropped),
    opaqueToken: metrics.opaqueToken,
    responded: metrics.responded,
    responseReady: metrics.responseReady,
    policyLoaded: (policy, before) => {
      audit.policyLoaded(policy, before)
      metrics.policyLoaded(policy, before)
      health.follow(settings.upstreams(policy))
      policyLoaded?.()
      warnOfPolicy(logs.log, policy, settings, clock)
    },
    policyRefused: both(audit.policyRefused, metrics.policyRefused),
  }
  const close = both(audit.close, metrics.close)
  const reports = { metrics, decisions: decisions.page, responded: events.responded }
  const ends = () => [...apiKeyEnds(active.status().policy), ...certificates()]
  const self = { replica, version, startedAt: clock.now(), now: clock.now }
  const telemetry = { ...state, ...reports, ...self, ends, isDraining, close }
  return { log: logs.log, events, secondLevelEvents: observeSecondLevel(metrics.shared, logs.log), telemetry }
}

const observeSecondLevel = (shared: Metrics['shared'], log: Logs['log']): SecondLevelEvents => ({
  ...shared,
  secondLevelChanged: isUp => {
    if (isUp) log.info('Redis responds again')
    else log.warn('Redis does not respond in time; this replica works without it until it does')
  },
})

/** Logs the warnings of a valid policy. */
export function warnOfPolicy(
  log: Logs['log'],
  policy: Policy,
  { certificates }: Pick<SubscriberSettings, 'certificates'>,
  clock: Clock,
): void {
  for (const warning of policyWarnings(policy, { now: clock.now(), certificates })) {
    log.warn({ source: 'policy' }, warning)
  }
}

const both =
  <A extends readonly unknown[]>(first: (...facts: A) => void, second: (...facts: A) => void) =>
  (...facts: A): void => {
    first(...facts)
    second(...facts)
  }

/** The identity as an upstream service: the source of the client assertion. */
export const identityUpstream = ({ source }: Config['identity']): Upstream => ({ kind: 'identity', name: source })

/** The settings of the broker's subscribers. The agent has its own. */
export const subscriberSettingsOf = ({
  audit,
  logLevel,
  identity,
  authority,
  clientCaFile,
  proxy,
  tracing,
  metricsExport,
}: Config): SubscriberSettings => ({
  audit,
  logLevel,
  certificates: clientCaFile !== undefined,
  secrets: [
    ...(identity.source === 'managed-identity' ? [identity.header] : []),
    ...(proxy?.secrets ?? []),
    ...(tracing?.secrets ?? []),
    ...(metricsExport?.secrets ?? []),
  ],
  upstreams: policy => [
    identityUpstream(identity),
    { kind: 'authority', name: authority },
    ...policy.issuers.map(issuerUpstream),
  ],
})
