import type { Caller, Verification } from './authentication/authenticate.ts'
import type { OperationDenied } from './authorization/authorize-operation.ts'
import type { Grant } from './authorization/authorize.ts'
import type { TokenRequest, Policy } from './policy/model.ts'
import type { BrokerError, ConfigurationError } from '../errors.ts'
import type { RequestFacts } from './lib/request-facts.ts'

/** A token as a source hands it over, already checked against the grant it is for. */
export interface IssuedToken {
  readonly token: string
  /** Seconds from the moment the fetch began. Always positive. */
  readonly expiresIn: number
  /** The token's own `exp`, in milliseconds since 1970, where it is a readable JWT. */
  readonly expiresAt?: number
  /** Seconds after which the issuer suggests a newer one. */
  readonly refreshIn?: number
  /** The issuer's own ids of the exchange, for its support. */
  readonly traceId?: string
  readonly correlationId?: string
}

/**
 * Where tokens come from: Entra, or anything wrapped around it. Rejects with a {@link BrokerError}.
 * Must settle when `signal` aborts.
 */
export type TokenSource = (grant: Grant, signal: AbortSignal) => Promise<IssuedToken>

/** The managed identity's token that is used as client assertion (RFC 7523 §2.2). */
export interface Assertion {
  readonly token: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** Where the client assertion comes from. */
export interface AssertionSource {
  /** The assertion that is held, or a new one. Rejects with `identity_unavailable`. */
  readonly get: (signal: AbortSignal) => Promise<Assertion>
  /**
   * A new assertion after `refused` was not accepted upstream. May resolve to the same token: the platform repeats one
   * until it chooses otherwise.
   */
  readonly renew: (refused: Assertion, signal: AbortSignal) => Promise<Assertion>
  /** The identity's own tenant id in lower case, once known. */
  readonly homeTenant: () => string | undefined
}

/** Reads a JSON document over the network: bounded in size and time, no redirects. Rejects with a plain `Error`. */
export type FetchDocument = (url: URL) => Promise<unknown>

/** How the cache came by the token it serves (RFC 9211). */
export type CacheOutcome = (typeof cacheOutcomes)[number]

/** Every {@link CacheOutcome}. */
export const cacheOutcomes = ['hit', 'due', 'refresh-failed', 'miss', 'collapsed', 'expired', 'request'] as const

/** A token that is handed out. One object per fetched token, so that listeners can remember what they derived of it. */
export interface TokenFacts {
  readonly token: string
  /** What stands for the token in logs. */
  readonly fingerprint: string
  readonly traceId: string | undefined
  readonly correlationId: string | undefined
}

/** Somebody the broker asks: Entra's authority by its origin, the identity endpoint, an issuer by its name in the policy. */
export interface Upstream {
  readonly kind: (typeof upstreamKinds)[number]
  readonly name: string
}

/** Kinds of {@link Upstream}. */
export const upstreamKinds = ['authority', 'identity', 'issuer'] as const

/** closed: the authority is asked. open: it is not, since it did not answer lately. half-open: once, to find out. */
export type CircuitState = (typeof circuitStates)[number]

/** Every {@link CircuitState}. */
export const circuitStates = ['closed', 'open', 'half-open'] as const

/** How a refresh in the background ended: `not_yet` brought no token that lives longer. */
export type RefreshOutcome = (typeof refreshOutcomes)[number]

/** Every {@link RefreshOutcome}. */
export const refreshOutcomes = ['replaced', 'not_yet', 'failed'] as const

/** The tokens, fetches and failures that are meant. An absent field stands for all values. */
export interface FetchFilter {
  readonly clientId?: string | undefined
  readonly tenant?: string | undefined
  readonly scope?: string | undefined
}

/** What the broker announces. Listeners (audit, metrics, health) must be quick and must not throw. */
export interface Events {
  /** A token was handed out. */
  readonly issued: (request: RequestFacts, grant: Grant, token: TokenFacts, how: CacheOutcome) => void
  /** An authenticated caller got no token: forbidden, or permitted but not to be had. */
  readonly refused: (
    request: RequestFacts,
    caller: Caller,
    ask: TokenRequest,
    error: BrokerError,
    grant?: Grant,
  ) => void
  /** A request came without an acceptable credential. */
  readonly unauthenticated: (request: RequestFacts, error: BrokerError) => void
  /** An authenticated caller lacks a permission of the operations endpoints. */
  readonly forbidden: OperationDenied
  readonly verification: Verification
  /** A background refresh settled. If it failed, callers are served the token that is held. */
  readonly refreshed: (grant: Grant, outcome: RefreshOutcome, error?: BrokerError) => void
  /** A caller is answered with a failure that is remembered: nobody was asked for its sake. */
  readonly negativeCacheHit: (grant: Grant, error: BrokerError) => void
  /** Tokens were forgotten on demand. A part of the filter that is absent stands for all. */
  readonly purged: (request: RequestFacts, caller: Caller, filter: FetchFilter, dropped: number) => void
  /** The circuit of the authority changed. */
  readonly circuit: (state: CircuitState, since: number) => void
  /** An upstream was asked and answered, or failed to. */
  readonly upstreamCalled: (upstream: Upstream, seconds: number, error?: BrokerError) => void
  /** A token came that is no readable JWT, so that nothing could be checked before it was stored. */
  readonly opaqueToken: (grant: Grant) => void
  /** A request was answered: `ok`, or the error's code. Hand-outs are announced by {@link issued} alone. */
  readonly responded: (endpoint: string, outcome: string) => void
  /** Somebody who is no trusted proxy sent a header that says who a proxy's peer is; it was passed over. */
  readonly headerIgnored: (header: string) => void
  /**
   * Another version of the policy is in force, or the same one: with other keys from the files that it names, or after a
   * faulty version that was taken back.
   */
  readonly policyLoaded: (policy: Policy, before: Policy) => void
  /** The policy file is faulty; `running` stays in force. */
  readonly policyRefused: (running: Policy, faults: readonly ConfigurationError[]) => void
}
