import type { BrokerError, ErrorCode } from '../errors.ts'
import type { Clock } from './lib/clock.ts'
import type { CircuitState, Events, Upstream } from './events.ts'

/** `unknown`: not asked since the process started. */
export type HealthStatus = 'ok' | 'failing' | 'unknown'

/** What went wrong, without a credential: the words a caller could have been told, and the finer reason of the log. */
export interface HealthError {
  readonly code: ErrorCode
  readonly reason: string
  readonly detail: string
  /** AADSTS numbers, where Entra gave any. */
  readonly upstreamCodes: readonly number[]
  /** Milliseconds since 1970. */
  readonly at: number
}

/** How one upstream was last seen. Times are in milliseconds since 1970. */
export interface UpstreamHealth {
  readonly upstream: Upstream
  readonly status: HealthStatus
  /** When it took this status. */
  readonly since: number
  readonly lastSuccess: number | undefined
  /** The last one there was, also when all is well again. */
  readonly lastError: HealthError | undefined
  /** Failures in a row. */
  readonly failures: number
  /** Whether an authority is asked at the moment. */
  readonly circuit?: { readonly state: CircuitState; readonly since: number }
}

/** The upstreams as the broker's own traffic shows them. */
export interface Health {
  readonly asked: Events['asked']
  readonly circuit: Events['circuit']
  readonly report: () => readonly UpstreamHealth[]
  /** From now on these are all there are; what is known of those that stay is kept. */
  readonly follow: (upstreams: readonly Upstream[]) => void
}

/**
 * Keeps the last outcome of every upstream. Passive: it asks nobody, so that looking at it costs nothing and an upstream
 * that nobody needs keeps the status it had.
 *
 * @param upstreams all there are to begin with; others that are announced are passed over
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
    asked: (upstream, _seconds, error) => {
      const state = states.get(keyOf(upstream))
      if (state) states.set(keyOf(upstream), next(state, error, clock.now()))
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
  ...(upstream.kind === 'authority' && { circuit: { state: 'closed', since } }),
})

function next(state: UpstreamHealth, error: BrokerError | undefined, now: number): UpstreamHealth {
  if (!error) return { ...turned(state, 'ok', now), lastSuccess: now, failures: 0 }
  if (!isOwnTrouble(error)) return stillTroubled(state) ? state : { ...turned(state, 'ok', now), failures: 0 }
  const { code, reason, message: detail, parts } = error
  const lastError: HealthError = { code, reason, detail, upstreamCodes: parts.upstream?.codes ?? [], at: now }
  return { ...turned(state, 'failing', now), lastError, failures: state.failures + 1 }
}

const turned = (state: UpstreamHealth, status: HealthStatus, now: number): UpstreamHealth =>
  status === state.status ? state : { ...state, status, since: now }

/**
 * Whether an error says that the upstream or the broker's own set-up is in trouble. One tenant's missing consent, or a
 * request that Entra refuses, is an answer like any other: it shows that Entra can be reached, and nothing else.
 */
const isOwnTrouble = ({ code, reason }: BrokerError): boolean =>
  !(code === 'consent_required' || code === 'upstream_rejected' || reason === 'cloud' || reason === 'client')

/** Whether the trouble there was may go on although an answer came: only its absence would have shown otherwise. */
const stillTroubled = ({ status, lastError }: UpstreamHealth): boolean =>
  status === 'failing' && lastError?.code !== 'upstream_unavailable'
