/** Where a failed exchange is remembered: for an application, for an application in one tenant, or for one cache key. */
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

/** What the broker does about one reason of one code. */
export interface Handling {
  readonly origin: Origin
  /** Whether the exchange may be tried again within its deadline. */
  readonly retry: boolean
  /**
   * What the circuit of the authority makes of it: a `failure` of the authority, a response (`answered`: 4xx, 429 and
   * unusable tokens too), or nothing (`ignored`), because no request was sent.
   */
  readonly circuit: 'failure' | 'answered' | 'ignored'
  /** Which fetches get the same error without an exchange for a while. An AADSTS code may say another level. */
  readonly remembered: FailureLevel | 'nowhere'
  /** Whether the upstream or the broker's own set-up is in trouble, and not one tenant or request: `GET /health`. */
  readonly ownTrouble: boolean
}

/** One reason: how it is handled, and the words of `docs/errors.md` for operators. Neither is sent to callers. */
export interface ReasonRow extends Handling {
  /** What it means. */
  readonly means: string
  /** What the operator does about it. */
  readonly remedy: string
}

/** A reason with its handling and its words. */
export const reason = (handling: Handling, means: string, remedy: string): ReasonRow => ({ ...handling, means, remedy })

/** Of what happens before an exchange, or beside it: nothing is retried or remembered. */
export const outside = (origin: Origin, ownTrouble = false): Handling => ({
  origin,
  retry: false,
  circuit: 'ignored',
  remembered: 'nowhere',
  ownTrouble,
})

/** Of a response that the authority gave, which the same request would get again. */
export const answered = (remembered: FailureLevel, ownTrouble: boolean): Handling => ({
  origin: 'exchange',
  retry: false,
  circuit: 'answered',
  remembered,
  ownTrouble,
})
