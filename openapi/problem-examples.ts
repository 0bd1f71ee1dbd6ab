import { BrokerError, errorTable, type ErrorCode, type ErrorParts } from '../src/errors.ts'
import { operationNotPermitted, tokenNotPermitted } from '../src/broker/authorization/not-permitted.ts'
import type { CallerFacts } from '../src/broker/policy/caller-facts.ts'
import { problemOf } from '../src/http/server/problems.ts'

/** Examples of problems, for `openapi.yaml` only: one for each code, and some for special cases. */

/** A named example, as OpenAPI has it. */
export interface Example {
  readonly summary: string
  readonly value: unknown
}

const requestId = '8c81d2e0a4b7-2f'
const ids = { trace: '5a7f1c9e-0000-4000-8000-00000000000a', correlation: '5a7f1c9e-0000-4000-8000-00000000000b' }
const tenant = '1a2b3c4d-0000-4000-8000-000000000002'
const application = '6f3c0b1e-0000-4000-8000-000000000001'

const ofError = (error: BrokerError): Example => ({
  summary: `${error.code}: ${errorTable[error.code].title}`,
  value: JSON.parse(problemOf(error, requestId).body),
})

const exampleOf = (code: ErrorCode, detail: string, parts?: ErrorParts): Example =>
  ofError(new BrokerError(code, detail, parts))

const special = (occasion: string, code: ErrorCode, detail: string, parts?: ErrorParts): Example => ({
  ...exampleOf(code, detail, parts),
  summary: `${code}: ${occasion}`,
})

/** The caller of what the policy does not permit. */
const billing: CallerFacts = {
  kind: 'jwt',
  issuer: 'onprem',
  subject: 'system:serviceaccount:billing:worker',
  claims: {},
}

/** Bodies as the broker writes them, by their names in `components.examples`: the code, except in special cases. */
export const problemExamples = {
  invalid_request: exampleOf('invalid_request', 'The Host header is missing.'),
  invalid_tenant: exampleOf(
    'invalid_tenant',
    'tenant must be one tenant: its id (a GUID) or its name in the policy (at most 63 lower-case letters, digits, dots and ' +
      'hyphens), not common, organizations or consumers. "Contoso" is not in lower case.',
  ),
  invalid_scope: exampleOf(
    'invalid_scope',
    "scope must be one resource's <resource>/.default, in printable ASCII, or a scope's name in the policy (at most 63 " +
      'lower-case letters, digits, dots and hyphens). "https://graph.microsoft.com" does not end with /.default.',
  ),
  unauthenticated: exampleOf('unauthenticated', 'Send "Authorization: Bearer <token or API key>".'),
  invalid_token: exampleOf('invalid_token', 'The token has expired.'),
  not_permitted: ofError(
    tokenNotPermitted(
      billing,
      { tenant: 'contoso', scope: 'https://graph.microsoft.com/.default', application: 'default', minExpiresIn: 0 },
      'no_rule',
    ),
  ),
  consent_required: exampleOf(
    'consent_required',
    "The tenant's administrator has not consented to the application, or not for this resource.",
    {
      remedy:
        `The application has no usable service principal in tenant ${tenant}. An administrator of that tenant must consent ` +
        `at https://login.microsoftonline.com/${tenant}/adminconsent?client_id=${application} ` +
        '(the registration needs a redirect URI).',
      upstream: { error: 'unauthorized_client', codes: [700016], traceId: ids.trace, correlationId: ids.correlation },
    },
  ),
  not_found: exampleOf('not_found', 'No endpoint has this path.'),
  not_found_public_url: special(
    'Without BROKER_PUBLIC_URL',
    'not_found',
    'This broker does not know its own public URL.',
    { remedy: 'The operator of the broker must set BROKER_PUBLIC_URL, for example to https://broker.example.' },
  ),
  method_not_allowed: exampleOf('method_not_allowed', 'This endpoint allows POST.'),
  request_timeout: exampleOf('request_timeout', 'The request did not arrive within 15 seconds.'),
  too_large: exampleOf('too_large', 'The body must not be larger than 16 KiB.'),
  unsupported_media_type: exampleOf('unsupported_media_type', 'Send "Content-Type: application/json".'),
  upstream_rejected: exampleOf('upstream_rejected', 'Entra refuses this tenant, resource or scope.', {
    remedy: `Tenant ${tenant} does not exist at https://login.microsoftonline.com. Correct the tenant id.`,
    upstream: { error: 'invalid_request', codes: [90002], traceId: ids.trace, correlationId: ids.correlation },
  }),
  rate_limited: exampleOf('rate_limited', 'This caller makes more requests than its rule allows.', { retryAfter: 12 }),
  rate_limited_exchanges: special(
    'Too many uncached tokens',
    'rate_limited',
    'This caller requests more uncached tokens than its rule allows.',
    { retryAfter: 30 },
  ),
  rate_limited_tenant: special(
    'Too many uncached tokens of a tenant',
    'rate_limited',
    'All callers together request more uncached tokens of this tenant and application than the policy allows.',
    {
      retryAfter: 2,
      remedy:
        'Keep tokens for refresh_in seconds, or let the operator of the broker raise "tenantLimit" in the policy.',
    },
  ),
  rate_limited_credentials: special(
    'Too many credentials of this address wait',
    'rate_limited',
    'Too many credentials of this address wait for the verification of their signatures.',
    { retryAfter: 5 },
  ),
  headers_too_large: exampleOf('headers_too_large', 'The request line and headers must not be larger than 16 KiB.'),
  internal_error: exampleOf('internal_error', 'An unexpected error occurred; the log has it under the request id.'),
  federation_misconfigured: exampleOf(
    'federation_misconfigured',
    "The application's federated credential does not match the managed identity.",
    {
      remedy:
        `No federated credential of application ${application} has the subject of the managed identity's token. If the broker ` +
        "is meant to have this identity, set the credential's subject to exactly 3c4d5e6f-0000-4000-8000-000000000007. " +
        'Entra can take some minutes to apply the change.',
      upstream: { error: 'invalid_client', codes: [700213], traceId: ids.trace, correlationId: ids.correlation },
    },
  ),
  upstream_invalid: exampleOf(
    'upstream_invalid',
    "Entra's response has a token that is for another tenant; it was discarded.",
  ),
  upstream_unavailable: exampleOf('upstream_unavailable', 'Entra is temporarily unavailable.', { retryAfter: 5 }),
  identity_unavailable: exampleOf('identity_unavailable', 'The identity endpoint could not be reached.'),
  issuer_unavailable: exampleOf('issuer_unavailable', 'The keys of issuer "onprem" could not be fetched.', {
    retryAfter: 30,
  }),
  overloaded: exampleOf('overloaded', 'The queue of token requests to Entra has no place left for this caller.', {
    remedy: 'Request fewer new tokens at once; cached tokens are not affected.',
  }),
  overloaded_loop: special(
    'The event loop is late',
    'overloaded',
    'The broker cannot respond to more requests in time.',
    { retryAfter: 2 },
  ),
  invalid_request_field: special(
    'An unknown field',
    'invalid_request',
    'Unknown field "tenantId"; allowed: tenant, scope, application, agent, min_expires_in.',
  ),
  invalid_request_parameter: special(
    'A parameter out of range',
    'invalid_request',
    'limit must be a whole number from 1 to 1000. "0" is not.',
  ),
  not_permitted_observe: {
    ...ofError(operationNotPermitted(billing, 'observe', 'no_rule')),
    summary: 'not_permitted: Without the permission observe',
  },
  invalid_request_filter: special(
    'No filter, or all=true with a filter',
    'invalid_request',
    'Specify what to purge: tenant, scope, application, agent, or all=true by itself.',
  ),
  not_permitted_purge: {
    ...ofError(operationNotPermitted(billing, 'purge', 'no_rule')),
    summary: 'not_permitted: Without the permission purge',
  },
  upstream_unavailable_min_expires_in: special(
    'No token lives as long as min_expires_in requires',
    'upstream_unavailable',
    'No token with the required min_expires_in is available now.',
    {
      retryAfter: 60,
      availableExpiresIn: 412,
      remedy: 'Use a smaller min_expires_in, or try again after retry_after seconds.',
    },
  ),
} as const satisfies Readonly<Record<ErrorCode, Example> & Record<string, Example>>

/** The name of one of {@link problemExamples}. */
export type ProblemExample = keyof typeof problemExamples
