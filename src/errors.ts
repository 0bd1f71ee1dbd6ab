/** How one error code is answered. `title` is constant per code; `detail` and `remedy` speak of the occasion. */
export interface ErrorRow {
  /** HTTP status of `POST /tokens` (RFC 9110 §15). */
  readonly status: number
  /** RFC 9457 `title`: the same for every occurrence of the code. */
  readonly title: string
  /** Whether the same request can succeed later without anybody acting. Such answers carry `Retry-After`. */
  readonly retryable: boolean
}

const row = (status: number, title: string, retryable = false): ErrorRow => ({ status, title, retryable })

/** Every error a caller can receive. The one place where a code gets its status. */
export const errorTable = {
  invalid_request: row(400, 'The request is malformed'),
  invalid_tenant: row(400, 'The tenant is malformed'),
  invalid_scope: row(400, 'The scope is malformed'),
  unauthenticated: row(401, 'A credential is required'),
  invalid_token: row(401, 'The credential was not accepted'),
  not_permitted: row(403, 'The policy does not permit this'),
  consent_required: row(403, 'The tenant has not admitted the application'),
  not_found: row(404, 'There is nothing here'),
  method_not_allowed: row(405, 'The method is not allowed here'),
  request_timeout: row(408, 'The request did not arrive in time'),
  too_large: row(413, 'The request body is too large'),
  unsupported_media_type: row(415, 'The content type is not supported'),
  upstream_rejected: row(422, 'Entra refuses this tenant, resource or scope'),
  headers_too_large: row(431, 'The request headers are too large'),
  internal_error: row(500, 'The broker failed'),
  federation_misconfigured: row(502, 'The broker is not trusted by Entra as configured'),
  upstream_invalid: row(502, 'The answer of Entra was not usable'),
  upstream_unavailable: row(503, 'Entra did not answer', true),
  identity_unavailable: row(503, 'The managed identity did not answer', true),
  overloaded: row(503, 'The broker has more to do than it can', true),
  issuer_unavailable: row(503, "The keys of the caller's issuer are not available", true),
} as const satisfies Record<string, ErrorRow>

/** A stable, machine-readable name of what went wrong: the `code` member of every problem. */
export type ErrorCode = keyof typeof errorTable

/** What Entra said, reduced to members that are safe to repeat: never its text. */
export interface UpstreamFacts {
  /** OAuth 2.0 error code (RFC 6749 §5.2), if it looked like one. */
  readonly error?: string
  /** AADSTS numbers, in Entra's order. */
  readonly codes?: readonly number[]
  readonly traceId?: string
  readonly correlationId?: string
}

/** The optional parts of a {@link BrokerError}. */
export interface ErrorParts {
  /** Seconds, at least 1. Set by default on retryable codes. */
  readonly retryAfter?: number
  /** What a person can do about it: a URL, a command, a value to set. */
  readonly remedy?: string
  readonly upstream?: UpstreamFacts
  /** A finer word for logs and metrics (`no_rule`, `federation`, `expired`); never sent to callers. */
  readonly reason?: string
  /** Seconds of life of the token that is held but shorter than `min_expires_in`. */
  readonly availableExpiresIn?: number
  /** For the operator's log only. */
  readonly cause?: unknown
}

const defaultRetryAfterSeconds = 1

/**
 * The one error class of the data path. `message` is sent to the caller as `detail`, so it must not hold a credential,
 * upstream text that nobody read, or anything that tells a forbidden tenant from an unknown one.
 */
export class BrokerError extends Error {
  readonly code: ErrorCode
  readonly parts: ErrorParts

  constructor(code: ErrorCode, detail: string, parts: ErrorParts = {}) {
    super(detail, parts.cause === undefined ? undefined : { cause: parts.cause })
    this.name = 'BrokerError'
    this.code = code
    this.parts = parts
  }

  get status(): number {
    return errorTable[this.code].status
  }

  /** The word metrics and logs group by. */
  get reason(): string {
    return this.parts.reason ?? this.code
  }

  /** Seconds a client should wait, if waiting can help. */
  get retryAfter(): number | undefined {
    return this.parts.retryAfter ?? (errorTable[this.code].retryable ? defaultRetryAfterSeconds : undefined)
  }
}

/** Any thrown value as a {@link BrokerError}; what is not one is a bug and says nothing about itself. */
export function asBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown
  return new BrokerError('internal_error', 'An unexpected error occurred; the log has it under the request id.', {
    cause: thrown,
  })
}

/** One thing that is wrong with a configuration or a policy. */
export interface Fault {
  /** The variable's name, or the path in the file: `rules[2].callers[0].subject`. */
  readonly where: string
  /** What is wrong and what to write instead. */
  readonly what: string
}

/** Everything that is wrong with a configuration or a policy, reported together. */
export class FaultsError extends Error {
  readonly faults: readonly Fault[]

  constructor(subject: string, faults: readonly Fault[]) {
    super(`${subject}:\n${faults.map(fault => `  ${fault.where}: ${fault.what}`).join('\n')}`)
    this.name = 'FaultsError'
    this.faults = faults
  }
}

/** The message of whatever was thrown. */
export const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))

/** The `code` of a system or library error. */
export const codeOf = (thrown: unknown): string | undefined =>
  thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined
