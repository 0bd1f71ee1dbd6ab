import { Type } from 'typebox'
import { decisionOutcomes } from '../src/broker/recent-decisions.ts'
import { levels } from '../src/reasons/row.ts'
import { errorCode, errorReason, presented } from './operation-responses.ts'
import { count, guid, moment, oneOf, open, orNull, text } from './responses.ts'

/** Schemas of the responses that list something, for `openapi.yaml` only. `list-bodies.ts` writes the responses. */

const applicationName = orNull(
  Type.String(),
  "The application's name in the policy; null if the policy no longer defines it.",
)
const agentName = orNull(
  Type.String(),
  "The agent identity's name in the policy; null if the policy no longer defines it, or if there is no agent identity.",
)
const agentId = orNull(guid(''), 'The client id of the agent identity; null without one.')
const tenantName = orNull(Type.String(), "The tenant's name in the policy; null if it has none.")
const nextCursor = orNull(Type.String(), 'The `cursor` of the next page; null on the last page.')

/** One entry of {@link cacheEntries}. It never contains the token. */
export const cacheEntry = open(
  {
    tenant: guid('The tenant of the token: its id.'),
    tenant_name: tenantName,
    scope: text('The scope of the token.'),
    application: applicationName,
    client_id: guid("The application's client id. The application of an agent identity is its blueprint."),
    agent: agentName,
    agent_id: agentId,
    state: oneOf(['fresh', 'due', 'expired'], '`due`: the next request for it starts a refresh.'),
    at_risk: Type.Boolean({
      description: 'Whether the token is still served, and was requested after its last refresh failed.',
    }),
    expires_on: count('When the token expires, in seconds since 1970.'),
    usable_seconds: count('Seconds for which the broker still serves the token; 0 once it does not.'),
    refresh_in: count('Seconds until the next request for it starts a refresh.'),
    failed_refreshes: count('Consecutive refreshes that failed or returned no token that lives longer.'),
    last_failure: orNull(
      open({ code: errorCode, reason: errorReason, at: moment('When the refresh failed.') }),
      'The last refresh, if it failed; otherwise null.',
    ),
    token: Type.String({
      pattern: '^[0-9a-f]{32}$',
      description: 'The fingerprint of the token, as in the audit log: the first half of its SHA-256.',
    }),
    trace_id: orNull(Type.String(), "Entra's trace id of the exchange."),
    correlation_id: orNull(Type.String(), "Entra's correlation id of the exchange."),
  },
  'Metadata of a cached token, never the token itself.',
)

/** 200 of `/cache/entries`. */
export const cacheEntries = open(
  {
    entries: Type.Array(Type.Unsafe({ $ref: '#/components/schemas/CacheEntry' })),
    next_cursor: nextCursor,
  },
  'A page of cache entries, in the order that was requested.',
)

/** One entry of {@link cacheFailures}. */
export const cacheFailure = open(
  {
    application: applicationName,
    client_id: guid("The application's client id. The application of an agent identity is its blueprint."),
    agent: agentName,
    agent_id: agentId,
    tenant: orNull(guid(''), 'The id of the tenant; null if all tenants of the application are affected.'),
    tenant_name: tenantName,
    scope: orNull(Type.String(), 'The scope; null if all scopes are affected.'),
    level: oneOf(
      levels,
      'What it applies to: all of an application, one of its tenants, or one key (application, tenant and scope).',
    ),
    code: errorCode,
    reason: errorReason,
    codes: Type.Array(Type.Integer(), { description: "AADSTS numbers, in Entra's order, if Entra returned any." }),
    remedy: orNull(
      Type.String(),
      'How a person can solve it; null if there is no remedy, or if it names a tenant or a scope and others are affected too.',
    ),
    presented,
    since: moment('When the first of the consecutive failures occurred.'),
    until: moment(
      'Until when requests get the failure and no exchange is made. In the past: the next request makes one.',
    ),
    count: count('Consecutive failures.', 1),
  },
  'A failure that is cached: an exchange that is known not to work.',
)

/** 200 of `/cache/failures`. */
export const cacheFailures = open(
  {
    failures: Type.Array(Type.Unsafe({ $ref: '#/components/schemas/CacheFailure' })),
    next_cursor: nextCursor,
  },
  'A page of cached failures, in the order in which they last occurred.',
)

const optionalTexts = (...names: readonly string[]) =>
  Object.fromEntries(names.map(name => [name, Type.Optional(Type.String())]))

/** One entry of {@link decisions}. */
export const decision = open(
  {
    time: moment('When it was decided.'),
    outcome: oneOf(decisionOutcomes, '`denied` by the policy, or permitted and `failed`.'),
    code: errorCode,
    reason: errorReason,
    caller: open(
      {
        kind: text('How the caller was authenticated.', ['jwt']),
        ...optionalTexts('issuer', 'subject', 'subject_sha256', 'key', 'expires', 'name', 'name_sha256', 'fingerprint'),
      },
      'The caller, with the fields of the audit log for its kind.',
    ),
    rule: orNull(Type.String(), 'The rule that granted it; null if it was denied.'),
    permission: orNull(Type.String(), 'The permission that an operation needed; null for a token.'),
    tenant: orNull(Type.String(), 'The id of the tenant; a name that the policy does not define, as it was requested.'),
    tenant_name: tenantName,
    scope: orNull(Type.String(), 'The scope; null for an operation.'),
    application: orNull(
      Type.String(),
      'The application; null for an operation, and for an agent identity that was not granted.',
    ),
    agent: orNull(Type.String(), 'The agent identity; null if none was requested.'),
    endpoint: text('The endpoint, as in the metrics.', ['tokens']),
    address: text("The client's address."),
    request_id: text('The id of the request in the log and in the error that the caller got.'),
    trace_id: orNull(Type.String(), "The trace id of the request's `traceparent`; null if it had none."),
    policy: text('The version of the policy that decided.'),
    codes: Type.Array(Type.Integer(), { description: "AADSTS numbers, in Entra's order, if Entra returned any." }),
    limit: orNull(
      open({
        count: count('How many requests or exchanges the policy allows.', 1),
        seconds: count('In so many seconds.', 1),
      }),
      'The limit that it exceeded (`rate_limited`); otherwise null.',
    ),
    remedy: orNull(Type.String(), 'How a person can solve it; null if there is no remedy, or if it was denied.'),
  },
  'A request of an authenticated caller that was denied or failed.',
)

/** 200 of `/decisions`. */
export const decisions = open(
  {
    decisions: Type.Array(Type.Unsafe({ $ref: '#/components/schemas/Decision' })),
    next_cursor: nextCursor,
  },
  'A page of decisions, the newest first.',
)
