import { exchangeReasons } from './reasons/exchanges.ts'
import { brokerHandling } from './reasons/relayed.ts'
import { requestReasons } from './reasons/requests.ts'
import { outside, type FailureLevel, type Handling, type ReasonRow } from './reasons/row.ts'

/**
 * Every reason of every code, with how it is handled and what the operator does about it. {@link BrokerError.handling}
 * looks a reason up in it, so that retry, circuit breaker, negative cache and health decide by the same row.
 */
export const reasonTable = { ...requestReasons, ...exchangeReasons }

/** An `error` of RFC 6749 §5.2 or RFC 8693 §2.2.2; the last two are those of RFC 6749 §4.1.2.1. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_client'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'server_error'
  | 'temporarily_unavailable'

/** How one error code is reported to callers. `title` is constant per code; `detail` and `remedy` describe the occasion. */
export interface ErrorRow {
  /** HTTP status of `POST /tokens` (RFC 9110 §15). */
  readonly status: number
  /** RFC 9457 `title`: the same for every occurrence of the code. */
  readonly title: string
  /** `error` at the OAuth token endpoint; at Entra's where Entra itself did not respond with another. */
  readonly oauth: OAuthError
  /** Whether the same request can succeed later although nothing was changed. Such responses have `Retry-After`. */
  readonly retryable: boolean
}

const row = (status: number, title: string, oauth: OAuthError): ErrorRow => ({ status, title, oauth, retryable: false })
const retryable = (status: number, title: string): ErrorRow => ({
  status,
  title,
  oauth: 'temporarily_unavailable',
  retryable: true,
})

/** Every error a caller can receive. The one place where a code gets its status, title and OAuth error. */
export const errorTable = {
  invalid_request: row(400, 'Malformed request', 'invalid_request'),
  invalid_tenant: row(400, 'Malformed tenant', 'invalid_request'),
  invalid_scope: row(400, 'Malformed scope', 'invalid_scope'),
  unauthenticated: row(401, 'Credential required', 'invalid_client'),
  invalid_token: row(401, 'Credential rejected', 'invalid_client'),
  not_permitted: row(403, 'Not permitted by the policy', 'unauthorized_client'),
  consent_required: row(403, 'Admin consent required', 'unauthorized_client'),
  not_found: row(404, 'Not found', 'invalid_request'),
  method_not_allowed: row(405, 'Method not allowed', 'invalid_request'),
  request_timeout: row(408, 'Request timeout', 'invalid_request'),
  too_large: row(413, 'Request body too large', 'invalid_request'),
  unsupported_media_type: row(415, 'Unsupported content type', 'invalid_request'),
  upstream_rejected: row(422, 'Rejected by Entra', 'invalid_target'),
  rate_limited: retryable(429, 'Too many requests'),
  headers_too_large: row(431, 'Request headers too large', 'invalid_request'),
  internal_error: row(500, 'Internal error', 'server_error'),
  federation_misconfigured: row(502, "Entra does not trust the broker's identity", 'server_error'),
  upstream_invalid: row(502, 'Invalid response from Entra', 'server_error'),
  upstream_unavailable: retryable(503, 'Entra unavailable'),
  identity_unavailable: retryable(503, 'Managed identity unavailable'),
  overloaded: retryable(503, 'Broker overloaded'),
  issuer_unavailable: retryable(503, 'Issuer keys unavailable'),
} as const satisfies Readonly<Record<keyof typeof reasonTable, ErrorRow>>

/** A stable, machine-readable name of what went wrong: the `code` field of every problem. */
export type ErrorCode = keyof typeof errorTable

/** The reasons that an error of this code can have. */
export type ReasonOf<Code extends ErrorCode> = Code extends ErrorCode
  ? keyof (typeof reasonTable)[Code] | 'broker'
  : never

/** A finer word for logs and metrics (`no_rule`, `federation`, `expired`): the code itself where there is none finer. */
export type Reason = ReasonOf<ErrorCode> | ErrorCode

/** What Entra responded, reduced to fields that are safe to repeat: never its text. */
export interface UpstreamFacts {
  /** OAuth 2.0 error code (RFC 6749 §5.2), if it has the form of one. */
  readonly error?: string
  /** AADSTS numbers, in Entra's order. */
  readonly codes?: readonly number[]
  readonly traceId?: string
  readonly correlationId?: string
}

/** What a refused token says of itself, shortened. It is not verified: anyone can send a token that says this. */
export interface UnverifiedFacts {
  readonly iss: string | undefined
  readonly aud: readonly string[] | undefined
  readonly kid: string | undefined
}

/** What the broker presented to Entra: three claims of the client assertion, shortened. No secret: the token is not among them. */
export interface PresentedIdentity {
  readonly issuer: string
  readonly subject: string
  readonly audience: string
}

/** How a limit of the policy stands for one caller. */
export interface LimitFacts {
  readonly what: 'requests' | 'exchanges' | 'tenant'
  /** Requests or exchanges allowed in {@link seconds}. */
  readonly count: number
  readonly seconds: number
  readonly remaining: number
  /** Seconds until the whole limit is available again; if nothing remains, until the first request or exchange is. */
  readonly resetIn: number
}

/** The optional parts of a {@link BrokerError}. */
export interface ErrorParts {
  /** Seconds, at least 1. Set by default on retryable codes. */
  readonly retryAfter?: number
  /** How a person can solve it: a URL, a command, a value to set. */
  readonly remedy?: string
  readonly upstream?: UpstreamFacts
  /**
   * A reason that {@link reasonTable} has under the code, or `broker` if an agent's broker returned the code. Never sent
   * to callers.
   */
  readonly reason?: ReasonOf<ErrorCode>
  /** Which requests it is cached for, if the row of the AADSTS code names another level than the reason. */
  readonly level?: FailureLevel
  /** Seconds of life of the cached token, if that is less than `min_expires_in`. */
  readonly availableExpiresIn?: number
  /** The limit that was reached. */
  readonly limit?: LimitFacts
  /** What Entra did not accept, if it did not accept the assertion. For operators only. */
  readonly presented?: PresentedIdentity
  /** What the refused token says of itself. For the operator's log only. */
  readonly unverified?: UnverifiedFacts
  /** For the operator's log only. */
  readonly cause?: unknown
}

/** The parts of an error of one code: with one of its reasons. */
export type PartsOf<Code extends ErrorCode> = ErrorParts & { readonly reason?: ReasonOf<Code> }

const defaultRetryAfterSeconds = 1
const unknown = outside('bug', true)

/**
 * The one error class of the data path. `message` is sent to the caller as `detail`, so it must not contain a credential,
 * unreviewed text from an upstream, or anything that distinguishes a forbidden tenant from an unknown one.
 */
export class BrokerError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: ErrorCode
  readonly parts: ErrorParts

  constructor(code: Code, detail: string, parts: PartsOf<Code> = {}) {
    super(detail, parts.cause === undefined ? undefined : { cause: parts.cause })
    this.name = 'BrokerError'
    this.code = code
    this.parts = parts
  }

  get status(): number {
    return errorTable[this.code].status
  }

  /** The word by which metrics and logs group errors. */
  get reason(): Reason {
    return this.parts.reason ?? this.code
  }

  /** What the broker does about it. An error without a row of its own is not retried, counted or cached. */
  get handling(): Handling {
    if (this.reason === 'broker') return brokerHandling[this.code] ?? unknown
    const reasons: Readonly<Partial<Record<Reason, ReasonRow>>> = reasonTable[this.code]
    return reasons[this.reason] ?? unknown
  }

  /** A new error with the same code and message, and with these parts instead of its own. */
  withParts(parts: ErrorParts): BrokerError {
    return new BrokerError(this.code, this.message, parts)
  }

  /** Seconds a client should wait, if waiting can help. */
  get retryAfter(): number | undefined {
    return this.parts.retryAfter ?? (errorTable[this.code].retryable ? defaultRetryAfterSeconds : undefined)
  }
}

/** Any thrown value as a {@link BrokerError}. Anything else is a bug: it becomes `internal_error`, without its message. */
export function asBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown
  return new BrokerError('internal_error', 'An unexpected error occurred; the log has it under the request id.', {
    cause: thrown,
  })
}

/** One error of a configuration or a policy. */
export interface ConfigurationError {
  /** The variable's name, or the path in the file: `rules[2].callers[0].subject`. */
  readonly where: string
  /** What is wrong and what to write instead. */
  readonly what: string
}

/** All errors of a configuration or a policy, reported together. */
export class InvalidConfigurationError extends Error {
  readonly errors: readonly ConfigurationError[]

  /** @param subject what is wrong, such as `The policy is invalid`; the message lists the errors below it */
  constructor(subject: string, errors: readonly ConfigurationError[]) {
    super(`${subject}:\n${errors.map(({ where, what }) => `  ${where}: ${what}`).join('\n')}`)
    this.name = 'InvalidConfigurationError'
    this.errors = errors
  }
}

/** The message of a thrown value. */
export const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))

/** The `code` of a system or library error. */
export const codeOf = (thrown: unknown): string | undefined =>
  thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined
