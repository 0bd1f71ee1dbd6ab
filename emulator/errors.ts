import { randomUUID } from 'node:crypto'
import { type Reply, json } from './http.ts'

/** Entra's error response for one AADSTS code. */
export interface Refusal {
  /** An error code of RFC 6749 §5.2, or one that only Entra uses. */
  readonly error: string
  /** HTTP status. */
  readonly status: number
  /** `{name}` is replaced by the value of that name. */
  readonly text: string
}

const client = (text: string): Refusal => ({ error: 'invalid_client', status: 401, text })
const request = (text: string): Refusal => ({ error: 'invalid_request', status: 400, text })
const unauthorized = (text: string): Refusal => ({ error: 'unauthorized_client', status: 400, text })
const grant = (text: string): Refusal => ({ error: 'invalid_grant', status: 400, text })
const scope = (text: string): Refusal => ({ error: 'invalid_scope', status: 400, text })
const busy = (status: number, text: string): Refusal => ({ error: 'temporarily_unavailable', status, text })

const noMatch = 'No matching federated identity record found for presented assertion'

/**
 * Code → error, status, text. Source: the codes' pages at https://login.microsoftonline.com/error and public reports.
 */
export const refusals: Readonly<Record<number, Refusal>> = {
  50000: { error: 'server_error', status: 500, text: 'There was an error issuing a token.' },
  50001: { error: 'invalid_resource', status: 400, text: "The resource named '{resource}' is disabled or missing." },
  50013: client('Assertion failed signature validation. [Reason - The key was not found.]'),
  50027: request('JWT token is invalid or malformed.'),
  50196: grant('The server terminated an operation because it encountered a client request loop.'),
  53003: grant('Access has been blocked by Conditional Access policies.'),
  65001: grant("The user or administrator has not consented to use the application with ID '{client}'."),
  70002: client("The value of 'client_assertion_type' is not supported."),
  70003: {
    error: 'unsupported_grant_type',
    status: 400,
    text: "The app requested an unsupported grant type '{grant}'.",
  },
  70011: scope("The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."),
  70021: client(`${noMatch}.`),
  70025: client("The client '{client}' has no configured federated identity credentials."),
  82001: unauthorized("Agentic application '{client}' is not permitted to request app-only tokens for the resource."),
  82008: request(
    'All agentic applications requesting a token exchange token must include the fmipath parameter on the token request.',
  ),
  90002: request("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."),
  90033: busy(503, 'A transient error has occurred. Please try again.'),
  90038: request("Tenant '{tenant}' request is being redirected to the National Cloud."),
  90055: busy(429, 'The tenant is throttled because there are too many requests.'),
  500011: {
    error: 'invalid_resource',
    status: 400,
    text: 'The resource principal named {resource} was not found in the tenant named {tenant}.',
  },
  501051: grant("Application '{client}' is not assigned to a role for the application '{resource}'."),
  700016: unauthorized("Application with identifier '{client}' was not found in the directory '{tenant}'."),
  700024: client(
    'Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {until}.',
  ),
  700027: client('The certificate with identifier used to sign the client assertion failed signature validation.'),
  700211: client(`${noMatch} issuer '{issuer}'.`),
  700212: client(`${noMatch} audience '{audience}'.`),
  700213: client(`${noMatch} subject '{subject}'.`),
  700222: client('AAD-issued tokens may not be used for federated identity flows.'),
  700236: client(
    "Entra ID tokens issued by a tenant other than the application's home may not be used for federation.",
  ),
  700238: client('Federated identity credentials are restricted by policy.'),
  900023: request("Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."),
  900144: request("The request body must contain the following parameter: '{parameter}'."),
  900382: request('Confidential Client is not supported in Cross Cloud request.'),
  900561: request('The endpoint only accepts POST requests. Received a {method} request.'),
  1002012: scope(
    'The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.',
  ),
  7000112: unauthorized("Application '{client}' is disabled."),
  7000218: client("The request body must contain the following parameter: 'client_assertion' or 'client_secret'."),
  7000226: client("The client '{client}' has no federated identity credential that may be used."),
  7000229: client('The client application {client} is missing service principal in the tenant {tenant}.'),
  9000411: request("The request is not properly formatted. The parameter '{parameter}' is duplicated."),
}

/** The response for a code that the table does not list. */
export const unlisted: Refusal = request('This error was forced.')

/** Thrown for a request that Entra refuses. The endpoint turns it into an error response. */
export class EntraError extends Error {
  readonly code: number
  readonly values: Readonly<Record<string, string>>

  /** `values` fill the placeholders of the code's text. */
  constructor(code: number, values: Readonly<Record<string, string>> = {}) {
    super(`AADSTS${code}`)
    this.code = code
    this.values = values
  }
}

/** The parts of a refusal that depend on the request or on a fault. */
export interface RefusalContext {
  readonly correlationId: string
  /** Milliseconds. */
  readonly now: number
  readonly values?: Readonly<Record<string, string>>
  readonly status?: number
  readonly error?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The error response for a code, in Entra's format. */
export function refuse(code: number, context: RefusalContext): Reply {
  const { error, status, text } = refusals[code] ?? unlisted
  const traceId = randomUUID()
  const timestamp = new Date(context.now).toISOString().replace('T', ' ').replace(/\.\d+/, '')
  const message = text.replaceAll(/\{(\w+)\}/g, (_, name: string) => context.values?.[name] ?? name)
  const body = {
    error: context.error ?? error,
    error_description: `AADSTS${code}: ${message} Trace ID: ${traceId} Correlation ID: ${context.correlationId} Timestamp: ${timestamp}`,
    error_codes: [code],
    timestamp,
    trace_id: traceId,
    correlation_id: context.correlationId,
    error_uri: `https://login.microsoftonline.com/error?code=${code}`,
  }
  return json(context.status ?? status, body, { 'x-ms-request-id': traceId, ...context.headers })
}
