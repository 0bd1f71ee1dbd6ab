import type { Clock } from '../broker/lib/clock.ts'
import { createHealth } from '../broker/health.ts'
import { policyWarnings } from '../broker/policy/warnings.ts'
import type { Policy } from '../broker/authorization/authorize.ts'
import type { RunningPolicy } from '../broker/authorization/active-policy.ts'
import type { Events, Upstream } from '../broker/events.ts'
import type { Config } from '../config/config.ts'
import { issuerUpstream } from '../outbound/issuers/issuer-keys.ts'
import { version } from './package.ts'
import { createAudit } from '../telemetry/audit.ts'
import { createLogs, type Logs } from '../telemetry/log.ts'
import { createMetrics, type Gauges } from '../telemetry/metrics.ts'
import type { LineSink } from '../telemetry/output.ts'

/** What listeners look at when they are asked. */
interface Looked extends Pick<Gauges, 'isReady' | 'cache' | 'circuit'> {
  readonly clock: Clock
  readonly isDraining: () => boolean
}

/** How listeners write, and what they are to know beforehand. */
export interface ListenerSettings extends Pick<Config, 'audit' | 'logLevel'> {
  /** Exact texts that must never be written. */
  readonly secrets: readonly string[]
  /** Whether client certificates are looked at. */
  readonly certificates: boolean
  /** Everybody who may be asked under a policy. */
  readonly upstreams: (policy: Policy) => readonly Upstream[]
}

/** Whoever listens to what the broker announces (log, audit, metrics, health), and what the operations endpoints show of it. */
export function createListeners(
  settings: ListenerSettings,
  running: Pick<RunningPolicy, 'status'>,
  sink: LineSink,
  { clock, isReady, isDraining, cache, circuit }: Looked,
) {
  const logs = createLogs(settings.logLevel, sink, settings.secrets)
  const audit = createAudit(logs, sink, {
    mode: settings.audit,
    now: clock.now,
    policyVersion: () => running.status().policy.version,
  })
  const health = createHealth(settings.upstreams(running.status().policy), clock)
  const looked = { isReady, policy: running.status, upstreams: health.report }
  const metrics = createMetrics({ ...looked, cache, circuit, version })
  const events: Events = {
    issued: both(audit.issued, metrics.issued),
    refused: both(audit.refused, metrics.refused),
    unauthenticated: audit.unauthenticated,
    forbidden: both(audit.forbidden, metrics.forbidden),
    refreshed: both(audit.refreshed, metrics.refreshed),
    recalled: metrics.recalled,
    purged: both(audit.purged, metrics.purged),
    circuit: health.circuit,
    asked: both(health.asked, metrics.asked),
    verification: metrics.verification,
    headerIgnored: metrics.headerIgnored,
    unreadable: metrics.unreadable,
    answered: metrics.answered,
    policyLoaded: (policy, before) => {
      audit.policyLoaded(policy, before)
      metrics.policyLoaded(policy, before)
      health.follow(settings.upstreams(policy))
      warnOfPolicy(logs.log, policy, settings, clock)
    },
    policyRefused: both(audit.policyRefused, metrics.policyRefused),
  }
  const close = () => {
    audit.close()
    metrics.close()
  }
  const shown = { ...looked, isDraining, metrics }
  const telemetry = { ...shown, answered: events.answered, version, startedAt: clock.now(), close }
  return { log: logs.log, events, telemetry }
}

/** Says what somebody should know of a good policy. */
export function warnOfPolicy(
  log: Logs['log'],
  policy: Policy,
  { certificates }: Pick<ListenerSettings, 'certificates'>,
  clock: Clock,
): void {
  const surroundings = { now: clock.now(), certificates }
  for (const warning of policyWarnings(policy, surroundings)) log.warn({ source: 'policy' }, warning)
}

const both =
  <A extends readonly unknown[]>(first: (...facts: A) => void, second: (...facts: A) => void) =>
  (...facts: A): void => {
    first(...facts)
    second(...facts)
  }

/** The managed identity as the one whose token is asked for. */
export const identityUpstream = ({ source }: Config['identity']): Upstream => ({ kind: 'identity', name: source })

/** The broker's listeners. Its agents have others. */
export const listenersOf = ({ audit, logLevel, identity, authority, clientCaFile }: Config): ListenerSettings => ({
  audit,
  logLevel,
  certificates: clientCaFile !== undefined,
  secrets: identity.source === 'managed-identity' ? [identity.header] : [],
  upstreams: policy => [
    identityUpstream(identity),
    { kind: 'authority', name: authority },
    ...policy.issuers.map(issuerUpstream),
  ],
})
