/** Which requests a failed exchange is cached for: of an application, of an application in one tenant, or of one key. */
export type FailureLevel = 'application' | 'tenant' | 'key'

/** All of them, the widest first. */
export const levels = ['application', 'tenant', 'key'] as const satisfies readonly FailureLevel[]

/** Which part of the broker gives a reason. `agent`: reasons that only `token-broker agent` gives. */
export type Origin =
  | 'request'
  | 'caller'
  | 'policy'
  | 'limits'
  | 'issuer'
  | 'identity'
  | 'exchange'
  | 'circuit'
  | 'cache'
  | 'lifetime'
  | 'agent'
  | 'bug'

/**
 * What the broker does about one reason of one code. Each column has one reader, so that a new reason is handled
 * everywhere once it has a row. Nothing else compares reasons, except `entra.ts`, which
 * requests a new assertion once after the reasons `assertion` and `agent_assertion`.
 */
export interface Handling {
  /** Which part of the broker gives the reason. `telemetry/metrics/refresh-results.ts` reads it, to know the reasons of a metric. */
  readonly origin: Origin
  /**
   * Whether the exchange may be tried again within its deadline. `outbound/entra/retry.ts` reads it; a pause that does
   * not fit into the deadline prevents the retry all the same.
   */
  readonly retry: boolean
  /**
   * How the circuit breaker of the authority counts it: as a `failure` of the authority, as a `response` (4xx, 429 and
   * unusable tokens too), or not at all (`ignored`), because no request reached the authority.
   * `outbound/entra/circuit-breaker.ts` reads it, to decide whether the circuit opens.
   */
  readonly circuit: 'failure' | 'response' | 'ignored'
  /**
   * Which requests get the same error from the negative cache for a while, without an exchange; `nothing` if none.
   * `broker/tokens/negative-cache/negative-cache-rules.ts` reads it; the row of an AADSTS code may name another level.
   */
  readonly cachedFor: FailureLevel | 'nothing'
  /**
   * Whether it is a sign that the upstream is out of order, for all keys together: it responds with errors (`failing`), or
   * not in time (`hanging`), or neither (`none`). `broker/tokens/negative-cache/` reads it: such a failure ends soon after
   * the upstream has issued a token for any key, and a time-out is cached longer, because it has made a caller wait.
   */
  readonly outage: 'failing' | 'hanging' | 'none'
  /**
   * Whether the error shows that the upstream or the broker's own set-up has a problem, rather than one tenant or one
   * request. `broker/health.ts` reads it, to decide whether the upstream is `failing` in `GET /health` and in the metrics.
   */
  readonly ownTrouble: boolean
}

/**
 * One reason: how it is handled, and its row in `docs/errors.md` for operators. Only the test of that page reads the two
 * texts, and compares them with it. Neither is sent to callers.
 */
export interface ReasonRow extends Handling {
  /** What the reason means: the second column of the page. */
  readonly meaning: string
  /** What the operator does about it: the third column. */
  readonly remedy: string
}

/** A reason with its handling and its texts. */
export const reason = (handling: Handling, meaning: string, remedy: string): ReasonRow => ({
  ...handling,
  meaning,
  remedy,
})

/** The handling of errors that occur before an exchange, or without one: nothing is retried or cached. */
export const outside = (origin: Origin, ownTrouble = false): Handling => ({
  origin,
  retry: false,
  circuit: 'ignored',
  cachedFor: 'nothing',
  outage: 'none',
  ownTrouble,
})

/** The handling of a response of the authority that the same request would get again. */
export const authorityResponse = (cachedFor: FailureLevel, ownTrouble: boolean): Handling => ({
  origin: 'exchange',
  retry: false,
  circuit: 'response',
  cachedFor,
  outage: 'none',
  ownTrouble,
})
