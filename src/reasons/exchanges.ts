import { identityReasons } from './identity.ts'
import { authorityResponse, outside, reason, type Handling, type ReasonRow } from './row.ts'

/** The authority failed: no response, or 5xx. */
const failure: Handling = {
  origin: 'exchange',
  retry: true,
  circuit: 'failure',
  cachedFor: 'key',
  outage: 'failing',
  ownTrouble: true,
}
/** The authority responded that it cannot serve the request now. */
const temporary: Handling = { ...failure, circuit: 'response' }
/** The authority responded that there were too many requests: that others succeed does not end it. */
const limited: Handling = { ...temporary, outage: 'none' }
/** The broker of an agent failed, which says nothing about the authority. */
export const ofAgent: Handling = { ...outside('agent', true), cachedFor: 'key', outage: 'failing' }

/** Concerns the whole application, since all its tenants use the same federated credential and assertion. */
export const ofApplication = authorityResponse('application', true)
/**
 * Concerns one tenant, which can cause it by itself. If it were cached for the whole application, one tenant could block
 * all others.
 */
export const ofTenant = authorityResponse('tenant', false)
/** Concerns one agent identity in its tenant: neither its blueprint nor the others of it. */
const ofAgentIdentity = ofTenant
/** Concerns the resource or scope of one request. */
export const ofRequest = authorityResponse('key', false)
/** The response is not Entra's, or its token does not match the request. */
export const unusable = authorityResponse('key', true)

/**
 * Reasons of the codes with which a fetch of a token can end: the exchange with Entra, the identity's token before it, and
 * the cache and queue around it.
 */
export const exchangeReasons = {
  consent_required: {
    consent: reason(
      ofTenant,
      'the application has no usable service principal in the tenant, no consent for the resource, or no role of it; or Entra responded `unauthorized_client` without a known code',
      'do what `remedy` says; without one, look up the numbers under `upstream.codes`. If every tenant is affected, compare the client id under `applications` with the registration',
    ),
  },
  upstream_rejected: {
    request: reason(
      ofRequest,
      'Entra refuses the tenant, the resource or the scope: it does not exist, or is disabled or blocked',
      'do what `remedy` says; usually an id in the policy is misspelt, or the tenant does not have the resource',
    ),
    unknown: reason(
      ofRequest,
      'an AADSTS code that the broker does not know, or Conditional Access',
      'look up the number under `upstream.codes` at <https://login.microsoftonline.com/error>',
    ),
  },
  internal_error: {
    internal_error: reason(outside('bug', true), 'a bug', 'report it; restart the replica if it repeats'),
  },
  federation_misconfigured: {
    federation: reason(
      ofApplication,
      "no federated credential of the application has the issuer, subject and audience of the identity's token; or the registration is in another tenant; or the token is a user's",
      'do what `remedy` says',
    ),
    assertion: reason(
      ofApplication,
      "the credential matches, but Entra refused the identity's token: it has expired, is not valid yet, or its signature is unknown",
      "compare this machine's clock with the real time; the broker has already retried with another token, if it got one",
    ),
    agent_identity: reason(
      ofAgentIdentity,
      "Entra does not accept the blueprint's token as the credential of one agent identity, or responded `invalid_client` for that agent identity without a known code",
      'do what `remedy` says; usually `id` or `application` under `agents` is wrong',
    ),
    agent_assertion: reason(
      ofAgentIdentity,
      'Entra rejected the token that it had issued to the blueprint, for one agent identity: it has expired, is not valid yet, or its signature is unknown',
      "compare this machine's clock with the real time; the broker has already retried with another token, if it got one",
    ),
    client: reason(
      ofTenant,
      'Entra responded `invalid_client` without a known code, in this tenant',
      'look up the number under `upstream.codes` at <https://login.microsoftonline.com/error>',
    ),
    cloud: reason(
      ofTenant,
      'the tenant is in another national cloud than `BROKER_AUTHORITY`',
      'correct the tenant id; one broker serves one cloud',
    ),
  },
  upstream_invalid: {
    unreadable: reason(
      unusable,
      'the response is not JSON, not an OAuth error, longer than 256 KiB, or incomplete; usually it comes from a proxy',
      'configure the proxy to allow `BROKER_AUTHORITY`',
    ),
    redirect: reason(
      unusable,
      'the response is a redirect, which the broker never follows, because it would send the assertion elsewhere',
      'configure the proxy to allow `BROKER_AUTHORITY`, and check that setting',
    ),
    no_expiry: reason(
      unusable,
      'the token has no usable `expires_in`: none, not a positive number of seconds, or more than seven days',
      'check whether a proxy responds in place of Entra; if not, contact the support of Microsoft',
    ),
    malformed_token: reason(
      unusable,
      '`access_token` is not a text of visible ASCII characters: another type, empty, or with a space or a line break',
      'as for `no_expiry`; in an agent, check that `--broker` names the broker itself',
    ),
    not_bearer: reason(unusable, '`token_type` is not `Bearer`', 'as for `malformed_token`'),
    wrong_kind: reason(
      unusable,
      'the token has `idtyp` `user`, or `scp` (an application token of an agent identity may have an empty one): it acts for a user, and the policy grants applications only',
      '**act at once**, as for `wrong_tenant`',
    ),
    expired: reason(
      { ...unusable, origin: 'cache' },
      'the token was about to expire when it arrived',
      "compare this machine's clock with the real time",
    ),
    wrong_tenant: reason(
      unusable,
      "the token's `tid` is another tenant",
      '**act at once**: a proxy between the broker and Entra may mix up responses',
    ),
    wrong_application: reason(
      unusable,
      "the token's `appid` or `azp` is another application or agent identity, or its agent identity has another blueprint",
      '**act at once**, as for `wrong_tenant`',
    ),
    wrong_audience: reason(
      unusable,
      "the token's `aud` is neither the resource nor a client id (a GUID), with or without `spn:`",
      '**act at once**, as for `wrong_tenant`; for an API of your own, compare the scope with its Application ID URI',
    ),
    wrong_expiry: reason(
      unusable,
      "the token's `exp` differs from `expires_in` by more than five minutes",
      "compare this machine's clock with the real time",
    ),
    unusable: reason(
      { ...unusable, origin: 'agent' },
      "agent only: the broker's response has no token or no expiry",
      'check that `--broker` names the broker itself',
    ),
  },
  upstream_unavailable: {
    network: reason(
      failure,
      "no response: the connection was refused or reset, the host name is unknown, or TLS failed; `cause` has the system's code",
      'if it does not pass, check DNS, firewall, `HTTPS_PROXY`, `NO_PROXY` and `NODE_EXTRA_CA_CERTS`',
    ),
    timeout: reason(
      { ...failure, retry: false, outage: 'hanging' },
      'no token arrived within `BROKER_UPSTREAM_TIMEOUT_MS`, which includes the wait in the queue and all attempts',
      'if it does not pass, check the latency of the network, or raise the setting if callers can wait longer. If `token_broker_fair_queue_length` is above 0, raise `BROKER_UPSTREAM_CONCURRENCY`',
    ),
    server_error: reason(
      failure,
      'Entra responded 408 or 5xx, to the last attempt too',
      "check Azure's status page; give `trace_id` to Microsoft",
    ),
    throttled: reason(
      limited,
      'Entra responded 429',
      'find the cause of so many requests: many tenants at once after a start, or a client that bypasses the broker',
    ),
    transient: reason(
      temporary,
      'Entra responded 4xx with a temporary error',
      'wait; give `trace_id` to Microsoft if it does not pass',
    ),
    loop: reason(
      { ...limited, retry: false },
      'Entra has seen the same request too often (AADSTS50196); nothing is sent for this key for a minute or more',
      'find out why the broker requests this token so often: replicas that restart, or a token that lives seconds',
    ),
    circuit_open: reason(
      outside('circuit', true),
      'the circuit breaker is open: the broker sends nothing to Entra after too many failures',
      'do what the earlier lines need: `network`, `timeout` or `server_error`',
    ),
    aborted: reason(
      outside('circuit', true),
      'the broker aborted the exchange because it had not ended by its deadline',
      'it passes; if it does not, report it',
    ),
    min_expires_in: reason(
      outside('lifetime', true),
      'no token lives as long as the caller requires; `available_expires_in` is the life of the cached one',
      'use a smaller `min_expires_in`, or try again after `Retry-After`; the broker replaces a token for this at most once a minute',
    ),
    status: reason(ofAgent, 'agent only: the broker failed (HTTP 5xx) without a reason', "see the broker's log"),
    expired: reason(
      ofAgent,
      "agent only: the broker's token expires within this second",
      'if it does not pass, compare the clocks',
    ),
  },
  identity_unavailable: identityReasons,
  overloaded: {
    queue: reason(
      outside('cache'),
      'the queue has no place left for this caller; in `token.refresh_failed`: for refreshes',
      'that caller must request fewer new tokens at once. If many callers are refused, Entra is slow (`token_broker_exchange_duration_seconds`), `BROKER_UPSTREAM_CONCURRENCY` is too small, or there are too few replicas',
    ),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ReasonRow>>>>
