import { codeOf, type BrokerError, type ErrorCode, type PresentedIdentity, type Reason } from '../errors.ts'
import type { Clock } from './lib/clock.ts'
import type { CircuitState, Events, Upstream } from './events.ts'

/** `unknown`: no request to it since the process started. */
export type HealthStatus = 'ok' | 'failing' | 'unknown'

/** The last error, without credentials: the detail that a caller may see, and the reason from the log. */
export interface HealthError {
  readonly code: ErrorCode
  readonly reason: Reason
  readonly detail: string
  /** AADSTS codes, if Entra returned any. */
  readonly upstreamCodes: readonly number[]
  /** What Entra did not accept, if it did not accept the assertion. */
  readonly presented?: PresentedIdentity
  /** The code of the operating system or of TLS, such as `ECONNREFUSED`, if there was one. */
  readonly systemCode?: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/** The health of one upstream. Times are in milliseconds since 1970. */
export interface UpstreamHealth {
  readonly upstream: Upstream
  readonly status: HealthStatus
  /** When the status last changed. */
  readonly since: number
  readonly lastSuccess: number | undefined
  /** The last error, also after later requests succeeded. */
  readonly lastError: HealthError | undefined
  /** Consecutive failures. */
  readonly failures: number
  /** How long requests to it take, in seconds: a mean in which the last five count most. `undefined` before the first. */
  readonly averageSeconds: number | undefined
  /** How far this machine's clock is ahead of an authority's, in seconds; negative: behind. `undefined` until it is known. */
  readonly clockOffset?: number | undefined
  /** The circuit breaker of an authority. */
  readonly circuit?: { readonly state: CircuitState; readonly since: number }
}

/** The health of the upstreams, derived from the broker's own traffic. */
export interface Health {
  readonly upstreamCalled: Events['upstreamCalled']
  readonly circuit: Events['circuit']
  readonly clockCompared: Events['clockCompared']
  /** The health of every upstream now, in the order of the list. */
  readonly report: () => readonly UpstreamHealth[]
  /** Replaces the list of upstreams; those that stay keep their health. */
  readonly follow: (upstreams: readonly Upstream[]) => void
}

/**
 * Keeps the last outcome of every upstream. Passive: it sends no request, so reading it costs nothing, and an upstream
 * that no request needs keeps its status.
 *
 * @param upstreams the initial list; events of other upstreams are ignored
 */
export function createHealth(upstreams: readonly Upstream[], clock: Pick<Clock, 'now'>): Health {
  let states = new Map<string, UpstreamHealth>()
  const follow = (all: readonly Upstream[]): void => {
    const known = states
    states = new Map(all.map(each => [keyOf(each), known.get(keyOf(each)) ?? unknownYet(each, clock.now())]))
  }
  follow(upstreams)
  return {
    follow,
    upstreamCalled: (upstream, seconds, error) => {
      const state = states.get(keyOf(upstream))
      if (!state) return
      const averageSeconds = averageWith(state.averageSeconds, seconds)
      states.set(keyOf(upstream), { ...next(state, error, clock.now()), averageSeconds })
    },
    clockCompared: (upstream, clockOffset) => {
      const state = states.get(keyOf(upstream))
      if (state) states.set(keyOf(upstream), { ...state, clockOffset })
    },
    circuit: (state, since) => {
      for (const [key, known] of states) {
        if (known.circuit) states.set(key, { ...known, circuit: { state, since } })
      }
    },
    report: () => [...states.values()],
  }
}

const keyOf = ({ kind, name }: Upstream): string => `${kind} ${name}`

const unknownYet = (upstream: Upstream, since: number): UpstreamHealth => ({
  upstream,
  status: 'unknown',
  since,
  lastSuccess: undefined,
  lastError: undefined,
  failures: 0,
  averageSeconds: undefined,
  ...(upstream.kind === 'authority' && { circuit: { state: 'closed', since } }),
})

function next(state: UpstreamHealth, error: BrokerError | undefined, now: number): UpstreamHealth {
  if (!error) return { ...withStatus(state, 'ok', now), lastSuccess: now, failures: 0 }
  // An error of one tenant, agent identity or request (missing consent, a refusal) only shows that the upstream can be reached.
  const concernsFew = error.parts.level !== undefined && error.parts.level !== 'application'
  if (!error.handling.ownTrouble || concernsFew)
    return mayPersist(state) ? state : { ...withStatus(state, 'ok', now), failures: 0 }
  const { code, reason, message: detail, parts } = error
  const { upstream, presented } = parts
  const upstreamCodes = upstream?.codes ?? []
  const systemCode = systemCodeOf(parts.cause)
  const lastError: HealthError = {
    code,
    reason,
    detail,
    upstreamCodes,
    at: now,
    ...(presented && { presented }),
    ...(systemCode !== undefined && { systemCode }),
  }
  return { ...withStatus(state, 'failing', now), lastError, failures: state.failures + 1 }
}

/** How many causes of causes are looked at. */
const deepestCause = 3
/** What Node's own errors have. */
const systemCodes = /^[A-Z][A-Z0-9_]{2,49}$/

function systemCodeOf(thrown: unknown, depth = deepestCause): string | undefined {
  if (depth === 0 || !(thrown instanceof Error)) return undefined
  const code = codeOf(thrown)
  return code !== undefined && systemCodes.test(code) ? code : systemCodeOf(thrown.cause, depth - 1)
}

/** An exponentially weighted mean: each request counts four fifths of the one after it. */
const averageWith = (average: number | undefined, seconds: number): number =>
  average === undefined ? seconds : average + (seconds - average) / 5

const withStatus = (state: UpstreamHealth, status: HealthStatus, now: number): UpstreamHealth =>
  status === state.status ? state : { ...state, status, since: now }

/** Whether an earlier failure may persist although Entra responded: a response only shows that Entra is available. */
const mayPersist = ({ status, lastError }: UpstreamHealth): boolean =>
  status === 'failing' && lastError?.code !== 'upstream_unavailable'
