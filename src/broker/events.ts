import type { Caller, Verification } from './authentication/authenticate.ts'
import type { OperationDenied } from './authorization/authorize-operation.ts'
import type { Grant } from './authorization/authorize.ts'
import type { TokenRequest, Policy } from './policy/model.ts'
import type { BrokerError, ConfigurationError } from '../errors.ts'
import type { RequestFacts } from './lib/request-facts.ts'

/** What an exchange requests. Every grant is one; only a grant's token is cached and issued. */
export interface ExchangeTarget extends Pick<Grant, 'clientId' | 'tenant' | 'scope'> {
  /** The client id of the agent identity for which the application, its blueprint, requests the token. */
  readonly agentId?: string | undefined
}

/** The requests of an exchange for an agent identity: of its `blueprint`, and then, with the token of that, of the `agent`. */
export const agentSteps = ['blueprint', 'agent'] as const
/** One of {@link agentSteps}. */
export type AgentStep = (typeof agentSteps)[number]

/** A token that a source returned. It was already compared with its grant. */
export interface IssuedToken {
  readonly token: string
  /** Seconds from the moment the fetch began. Always positive. */
  readonly expiresIn: number
  /** The token's own `exp`, in milliseconds since 1970. Absent if the token is not a readable JWT. */
  readonly expiresAt?: number
  /** Seconds after which the issuer suggests to fetch a newer token. */
  readonly refreshIn?: number
  /** When its exchange began, in milliseconds since 1970 by the clock of the replica that made it. Set with a second level. */
  readonly issuedAt?: number
  /** When it becomes due, the same for all replicas, in milliseconds since 1970. Set with a second level. */
  readonly refreshAt?: number
  /** The ids of the exchange at the issuer, for its support. */
  readonly traceId?: string
  readonly correlationId?: string
}

/**
 * The source of tokens: Entra, Entra with retries, or the central broker of an agent. Rejects with a {@link BrokerError}.
 * Must settle when `signal` aborts.
 */
export type TokenSource = (grant: Grant, signal: AbortSignal) => Promise<IssuedToken>

/** The managed identity's token that is used as client assertion (RFC 7523 §2.2). */
export interface Assertion {
  readonly token: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** The source of the client assertion. */
export interface AssertionSource {
  /** Returns the cached assertion, or a new one. Rejects with `identity_unavailable`. */
  readonly get: (signal: AbortSignal) => Promise<Assertion>
  /**
   * Returns a new assertion after Entra rejected `refused`. May resolve to the same token, because the platform decides
   * when it issues a new one.
   */
  readonly renew: (refused: Assertion, signal: AbortSignal) => Promise<Assertion>
  /** The tenant id of the identity itself, in lower case, once known. */
  readonly homeTenant: () => string | undefined
}

/** Reads a JSON document over the network, with limits for size and time and without redirects. Rejects with an `Error`. */
export type FetchDocument = (url: URL) => Promise<unknown>

/** How the cache got the token that it serves: the `Cache-Status` of a response (RFC 9211). */
export type CacheOutcome = (typeof cacheOutcomes)[number]

/** Every {@link CacheOutcome}. */
export const cacheOutcomes = [
  'hit',
  'due',
  'refresh-failed',
  'miss',
  'collapsed',
  'expired',
  'request',
  'shared',
] as const

/**
 * The class of a response, as latencies are compared. cached: a token that was in the cache. fetched: a token for which the
 * request waited. ok: a response without a token. client_error: status 4xx. server_error: status 5xx.
 */
export type ResponseClass = (typeof responseClasses)[number]

/** Every {@link ResponseClass}. */
export const responseClasses = ['cached', 'fetched', 'ok', 'client_error', 'server_error'] as const

/** A token that is issued. There is one object per fetched token, so that subscribers can cache values for it. */
export interface TokenFacts {
  readonly token: string
  /** Identifies the token in logs. */
  readonly fingerprint: string
  readonly traceId: string | undefined
  readonly correlationId: string | undefined
}

/**
 * A service that the broker calls. Its name is the origin of Entra's authority, the source of the identity, or the issuer's
 * name in the policy.
 */
export interface Upstream {
  readonly kind: (typeof upstreamKinds)[number]
  readonly name: string
}

/** Every kind of {@link Upstream}. */
export const upstreamKinds = ['authority', 'identity', 'issuer'] as const

/**
 * The state of the circuit breaker of the authority. closed: requests are sent. open: none is sent, because the exchanges of
 * too many tenants failed. half-open: one request is sent as a probe.
 */
export type CircuitState = (typeof circuitStates)[number]

/** Every {@link CircuitState}. */
export const circuitStates = ['closed', 'open', 'half-open'] as const

/** How a background refresh ended. `not_yet`: the new token does not live longer than the cached one. */
export type RefreshOutcome = (typeof refreshOutcomes)[number]

/** Every {@link RefreshOutcome}. */
export const refreshOutcomes = ['replaced', 'not_yet', 'failed'] as const

/** Selects tokens, fetches and cached failures. An absent field matches all values. */
export interface FetchFilter {
  /** Of the application. The tokens of its agent identities have it too. */
  readonly clientId?: string | undefined
  /** Of an agent identity. */
  readonly agentId?: string | undefined
  readonly tenant?: string | undefined
  readonly scope?: string | undefined
}

/** Why a connection was dropped: the longest `idle` one made room, its peer has its `share`, or the listener is `full`. */
export const dropReasons = ['idle', 'share', 'full'] as const
/** One of {@link dropReasons}. */
export type DropReason = (typeof dropReasons)[number]

/** How a look-up in the second level ended. `purged`: it found a token from before a purge, which is not used. */
export type SharedLookUpOutcome = (typeof sharedLookUpOutcomes)[number]

/** Every {@link SharedLookUpOutcome}. */
export const sharedLookUpOutcomes = ['hit', 'miss', 'unavailable', 'unreadable', 'purged'] as const

/** Whether a token could be written to the second level. */
export type SharedStoreOutcome = (typeof sharedStoreOutcomes)[number]

/** Every {@link SharedStoreOutcome}. */
export const sharedStoreOutcomes = ['stored', 'failed'] as const

/**
 * What a fetch did about the lease of its key. won: it made the exchange for all replicas. waited: it got the result of the
 * replica that had the lease. alone: it made the exchange without a lease, because the store was unavailable or the holder of
 * the lease did not finish in time.
 */
export type LeaseOutcome = (typeof leaseOutcomes)[number]

/** Every {@link LeaseOutcome}. */
export const leaseOutcomes = ['won', 'waited', 'alone'] as const

/** What the second level reports. Subscribers must return quickly and must not throw. */
export interface SecondLevelEvents {
  /** A look-up ended. */
  readonly sharedLookUp: (outcome: SharedLookUpOutcome, seconds: number) => void
  /** A token was written, or could not be. */
  readonly sharedStore: (outcome: SharedStoreOutcome, seconds: number) => void
  /** A fetch has ended; see {@link LeaseOutcome}. */
  readonly lease: (outcome: LeaseOutcome) => void
  /** The store became available or unavailable; `since` is in milliseconds since 1970. */
  readonly secondLevelChanged: (isUp: boolean, since: number) => void
  /** A purge of another replica was applied here, so many seconds after it was made. */
  readonly purgeReceived: (lagSeconds: number) => void
}

/** How far a purge reached, if there is a second level. */
export interface PurgeReach {
  /** The number of live replicas, this one included; `undefined` if the store did not respond. */
  readonly live: number | undefined
  /** How many of them have confirmed the purge within 500 ms, this one included. */
  readonly confirmed: number
}

/** What the broker reports. Subscribers (audit, metrics, health) must return quickly and must not throw. */
export interface Events {
  /** A token was issued. */
  readonly issued: (request: RequestFacts, grant: Grant, token: TokenFacts, how: CacheOutcome) => void
  /** An authenticated caller got an error and no token. Without a grant, the policy did not permit it. */
  readonly refused: (
    request: RequestFacts,
    caller: Caller,
    tokenRequest: TokenRequest,
    error: BrokerError,
    grant?: Grant,
  ) => void
  /** A request had no credential, or one that was not accepted. */
  readonly unauthenticated: (request: RequestFacts, error: BrokerError) => void
  /** An authenticated caller lacks the permission for an operations endpoint. */
  readonly forbidden: OperationDenied
  /** A credential was verified or refused. */
  readonly verification: Verification
  /** A background refresh ended. If it failed, the cached token stays in use. */
  readonly refreshed: (grant: Grant, outcome: RefreshOutcome, error?: BrokerError) => void
  /** A request got an error from the negative cache; no upstream was called for it. */
  readonly negativeCacheHit: (grant: Grant, error: BrokerError) => void
  /** A caller purged the cache. `dropped` is the number of tokens that this replica removed. */
  readonly purged: (
    request: RequestFacts,
    caller: Caller,
    filter: FetchFilter,
    dropped: number,
    reach?: PurgeReach,
  ) => void
  /** The circuit breaker of the authority changed its state; `since` is in milliseconds since 1970. */
  readonly circuit: (state: CircuitState, since: number) => void
  /** A request to an upstream ended, with the error if it failed. */
  readonly upstreamCalled: (upstream: Upstream, seconds: number, error?: BrokerError) => void
  /** One of the requests of an exchange for an agent identity ended. {@link upstreamCalled} reports it too. */
  readonly agentStepEnded: (step: AgentStep, error?: BrokerError) => void
  /**
   * A response of an upstream had a date: this machine's clock is so many seconds ahead of it, or behind if negative. The
   * date has whole seconds.
   */
  readonly clockCompared: (upstream: Upstream, offsetSeconds: number) => void
  /** A token is not a readable JWT, so it was stored without the check of its claims. */
  readonly opaqueToken: (grant: Grant) => void
  /** A response was sent: `ok`, or the error's code. Not reported for issued tokens; {@link issued} is. */
  readonly responded: (endpoint: string, outcome: string) => void
  /**
   * A response is ready, so many seconds after the headers of its request were read, less the time for the body to arrive.
   * Not reported for input that is no request.
   */
  readonly responseReady: (endpoint: string, outcome: ResponseClass, seconds: number) => void
  /** A header that identifies a proxy's peer was ignored: its sender is not a trusted proxy, or uses another header. */
  readonly headerIgnored: (header: string) => void
  /** A listener closed a connection, or did not accept it, because of its limits; with the peer's address. */
  readonly connectionDropped: (reason: DropReason, address: string) => void
  /**
   * A policy was activated. It is the same as `before` if only the keys in its files changed, or if an invalid version of the
   * file was reverted.
   */
  readonly policyLoaded: (policy: Policy, before: Policy) => void
  /** The policy file cannot be read or is invalid; `active` stays active. */
  readonly policyRefused: (active: Policy, errors: readonly ConfigurationError[]) => void
}
