import type { Clock } from './broker/clock.ts'
import { createHealth } from './broker/health.ts'
import type { Policy } from './broker/policy.ts'
import type { Events, Upstream } from './broker/types.ts'
import type { Config } from './config.ts'
import { issuerUpstream } from './outbound/issuer-keys.ts'
import { version } from './package.ts'
import { createAudit } from './telemetry/audit.ts'
import { createLogs } from './telemetry/log.ts'
import { createMetrics, type Gauges } from './telemetry/metrics.ts'
import type { LineSink } from './telemetry/output.ts'

/** What listeners look at when they are asked. */
interface Looked extends Pick<Gauges, 'isReady' | 'cache'> {
  readonly clock: Clock
  readonly isDraining: () => boolean
}

/** How listeners write, and what they are to know beforehand. */
export interface ListenerSettings extends Pick<Config, 'audit' | 'logLevel'> {
  /** Exact texts that must never be written. */
  readonly secrets: readonly string[]
  /** Everybody who may be asked. */
  readonly upstreams: readonly Upstream[]
}

/** Whoever listens to what the broker announces (log, audit, metrics, health), and what the operations endpoints show of it. */
export function createListeners(
  settings: ListenerSettings,
  policy: Policy,
  sink: LineSink,
  { clock, isReady, isDraining, cache }: Looked,
) {
  const logs = createLogs(settings.logLevel, sink, settings.secrets)
  const audit = createAudit(logs, sink, { mode: settings.audit, now: clock.now, policyVersion: () => policy.version })
  const running = { policy, loadedAt: clock.now() }
  const health = createHealth(settings.upstreams, clock)
  const metrics = createMetrics({
    cache,
    isReady,
    version,
    upstreams: health.report,
    policy: () => ({ version: policy.version, loadedAt: running.loadedAt }),
  })
  const events: Events = {
    issued: both(audit.issued, metrics.issued),
    refused: both(audit.refused, metrics.refused),
    unauthenticated: audit.unauthenticated,
    forbidden: both(audit.forbidden, metrics.forbidden),
    refreshed: both(audit.refreshed, metrics.refreshed),
    asked: both(health.asked, metrics.asked),
    verification: metrics.verification,
    unreadable: metrics.unreadable,
    answered: metrics.answered,
  }
  const telemetry = {
    isReady,
    isDraining,
    policy: () => running,
    upstreams: health.report,
    metrics,
    answered: events.answered,
    version,
    startedAt: clock.now(),
    close: () => {
      audit.close()
      metrics.close()
    },
  }
  return { log: logs.log, events, telemetry }
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
export const listenersOf = ({ audit, logLevel, identity, authority }: Config, policy: Policy): ListenerSettings => ({
  audit,
  logLevel,
  secrets: identity.source === 'managed-identity' ? [identity.header] : [],
  upstreams: [
    identityUpstream(identity),
    { kind: 'authority', name: authority },
    ...policy.issuers.map(issuerUpstream),
  ],
})
