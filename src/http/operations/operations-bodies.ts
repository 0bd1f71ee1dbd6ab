import type { ReplicaReport, SecondLevelStatus } from '../../broker/tokens/second-level.ts'
import type { Counters } from '../../broker/counters.ts'
import type { CacheStatistics } from '../../broker/tokens/cache-statistics.ts'
import { endState, nearestEnds, type End } from '../../broker/ends.ts'
import type { UpstreamHealth } from '../../broker/health.ts'
import type { PolicyStatus } from '../../broker/authorization/active-policy.ts'

/** The response bodies of the operations endpoints. */

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString()
const isoOrNull = (milliseconds: number | undefined): string | null =>
  milliseconds === undefined ? null : iso(milliseconds)

/** What `GET /health` reports. Times are in milliseconds since 1970. */
export interface HealthFacts {
  /** Whether the service should get requests. */
  readonly isReady: () => boolean
  readonly isDraining: () => boolean
  readonly policy: () => PolicyStatus
  readonly upstreams: () => readonly UpstreamHealth[]
  /** The second level that replicas share; `undefined` if there is none. */
  readonly secondLevel: () => SecondLevelStatus | undefined
  /** When the API keys and the certificates in use end, in any order. */
  readonly ends: () => readonly End[]
  /** Where a person finds what is to be corrected. */
  readonly places: Places
  /** The name of this replica. */
  readonly replica: string
  /** The broker's version, and when it started. */
  readonly version: string
  readonly startedAt: number
  /** The present moment. */
  readonly now: () => number
}

/** Where a person finds what is to be corrected. Has no credential. */
export interface Places {
  /** The path of the policy file; `undefined` of an agent, which has none. */
  readonly policyFile?: string
  /** The host and port of Redis; `undefined` without it. */
  readonly redis?: string
  /** The origin of the identity endpoint, or the path of the federated token file; `undefined` of an agent. */
  readonly identity?: string
}

/** What `GET /cache` reports besides the cache and the counters. */
export type CacheFacts = Pick<HealthFacts, 'now' | 'replica' | 'startedAt' | 'secondLevel'>

/** `GET /health`: `failing` if any check is failing, `ok` only if all are. */
export function healthBody(facts: HealthFacts) {
  const { isReady, isDraining, policy, upstreams, secondLevel, places, replica, version, startedAt } = facts
  const checks = upstreams()
  const policyCheck = policyBody(policy(), places)
  const shared = secondLevel()
  const sharedCheck = shared && sharedBody(shared, places)
  const statuses = new Set([policyCheck.status, ...checks.map(({ status }) => status), sharedCheck?.status ?? 'ok'])
  return {
    status: statuses.has('failing') ? 'failing' : statuses.has('unknown') ? 'unknown' : 'ok',
    ready: isReady(),
    draining: isDraining(),
    replica,
    version,
    node: process.version,
    started_at: iso(startedAt),
    policy: policyCheck,
    upstreams: checks.map(check => checkBody(check, places)),
    ...(sharedCheck && { shared_cache: sharedCheck }),
    ...endsBody(facts.ends(), facts.now()),
  }
}

/** The ends that are nearest to now, and how many there are in all. They are no checks: a key may have ended on purpose. */
const endsBody = (ends: readonly End[], now: number) => ({
  ends: nearestEnds(ends, now).map(({ kind, name, endsAt, file }) => ({
    kind,
    name,
    file: file ?? null,
    ends_at: iso(endsAt),
    state: endState(endsAt, now),
  })),
  ends_total: ends.length,
})

/** Redis. `failing` while it does not respond: this replica works without it then, and stays ready. */
const sharedBody = ({ isUp, since, detail, failure, replicas, keys }: SecondLevelStatus, { redis }: Places) => ({
  status: isUp ? 'ok' : 'failing',
  since: iso(since),
  detail,
  failure: failure ?? null,
  address: redis ?? null,
  live_replicas: replicas?.length ?? null,
  keys: keys.map((id, nth) => ({ id, writes: nth === 0 })),
})

/** `failing` while the file is invalid: the active policy stays active, but the broker would not start again. */
function policyBody({ policy, loadedAt, rejection }: PolicyStatus, { policyFile }: Places) {
  const { rules, denials, issuers, version } = policy
  return {
    status: rejection ? 'failing' : 'ok',
    since: iso(rejection?.since ?? loadedAt),
    detail: rejection
      ? 'the policy file cannot be read or is invalid; the previously loaded policy stays active'
      : `rules: ${rules.length}, denials: ${denials.length}, issuers: ${issuers.length}`,
    file: policyFile ?? null,
    version,
    loaded_at: iso(loadedAt),
    ...(rejection && { errors: rejection.errors }),
  }
}

const checkBody = (
  { upstream, status, since, lastSuccess, lastError, failures, averageSeconds, clockOffset, circuit }: UpstreamHealth,
  { identity }: Places,
) => ({
  kind: upstream.kind,
  name: upstream.name,
  status,
  since: iso(since),
  detail: detailOf(status, lastError),
  consecutive_failures: failures,
  last_success: isoOrNull(lastSuccess),
  last_error: lastError
    ? {
        code: lastError.code,
        reason: lastError.reason,
        detail: lastError.detail,
        upstream_codes: lastError.upstreamCodes,
        presented: lastError.presented ?? null,
        system_code: lastError.systemCode ?? null,
        at: iso(lastError.at),
      }
    : null,
  average_seconds: averageSeconds === undefined ? null : Math.round(averageSeconds * 1000) / 1000,
  ...(upstream.kind === 'identity' && { address: identity ?? null }),
  ...(upstream.kind === 'authority' && { clock_offset_seconds: clockOffset ?? null }),
  ...(circuit && { circuit: { state: circuit.state, since: iso(circuit.since) } }),
})

function detailOf(status: UpstreamHealth['status'], lastError: UpstreamHealth['lastError']): string {
  if (status === 'failing' && lastError) return lastError.detail
  return status === 'ok' ? 'reachable' : 'not used since the broker started'
}

/**
 * `GET /cache`: this replica's cache and counters and, with a second level, what all live replicas say about their caches.
 */
export const cacheBody = (statistics: CacheStatistics, counters: Counters, facts: CacheFacts) => ({
  time: iso(facts.now()),
  replica: facts.replica,
  started_at: iso(facts.startedAt),
  entries: statistics.entries,
  max_entries: statistics.maxEntries,
  fetching: statistics.fetching,
  exchanging: statistics.load.running,
  waiting: statistics.load.waiting - statistics.load.background,
  waiting_background: statistics.load.background,
  failures: statistics.failures,
  evictions: statistics.evictions,
  at_risk: statistics.atRisk,
  at_risk_usable_seconds:
    statistics.atRiskUsableSeconds === undefined ? null : Math.max(0, Math.floor(statistics.atRiskUsableSeconds)),
  counters: countersBody(counters),
  ...replicasBody(facts.secondLevel()),
})

/** Each counter as a list of `{ …labels, count }`, and `seconds` if its events have a duration. */
const countersBody = (counters: Counters) =>
  Object.fromEntries(
    [...counters].map(([name, series]) => [name, series.map(({ labels, ...values }) => ({ ...labels, ...values }))]),
  )

const replicasBody = (secondLevel: SecondLevelStatus | undefined) =>
  secondLevel && { replicas: secondLevel.replicas?.map(replicaBody) ?? null }

const replicaBody = ({ replica, entries, fetching, atRisk }: ReplicaReport) => ({
  replica,
  entries,
  fetching,
  at_risk: atRisk,
})
