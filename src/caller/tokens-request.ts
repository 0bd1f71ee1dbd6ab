import { isGuid, isScopeName } from '../broker/lib/identifiers.ts'
import { httpCall, noSpans, type Spans } from '../broker/lib/spans.ts'
import { membersOfJson, type Members } from '../broker/lib/json-members.ts'
import { maxLifetimeSeconds, readToken, refuseDelegated } from '../broker/tokens/verify-token.ts'
import { BrokerError, type ReasonOf } from '../errors.ts'
import { readAll } from '../outbound/issuers/document.ts'
import type { Egress } from '../outbound/network/egress.ts'
import { sendRequest, type OutgoingRequest } from '../outbound/network/request.ts'
import type { WorkloadCredential } from './workload-credential.ts'

// A request to a broker's `POST /tokens` from the side of its caller: an agent, or the command `token`.

/** Where the broker is, and how it is reached. */
export interface BrokerAddress {
  /** The broker's origin. */
  readonly url: string
  /** Must not keep connections, so that renewed files are used. */
  readonly egress: Egress
}

/** What a caller requests. Tenant, scope and application may be names of the broker's policy. */
export interface RequestedToken {
  readonly tenant: string
  readonly scope: string
  readonly application: string
  /** The agent identity for which the token is requested. With it, {@link application} does not count. */
  readonly agent?: string | undefined
}

/** A complete response of the broker. */
export interface BrokerResponse {
  readonly status: number
  readonly text: string
  /** The header `Retry-After`. */
  readonly retryAfter: string | undefined
}

/** The token of a response, after it was compared with the request. */
export interface ReceivedToken {
  /** Visible ASCII. */
  readonly token: string
  /** Whole seconds, at least 1. */
  readonly expiresIn: number
  /** Whole seconds; `undefined` if the response has no valid number. */
  readonly refreshIn: number | undefined
  /** The tenant's id, also if the request named it; `undefined` if the response has none. */
  readonly tenant: string | undefined
  /** The scope, also if the request named it; `undefined` if the response has none. */
  readonly scope: string | undefined
}

/** The path of the endpoint. */
export const tokensPath = '/tokens'

/** The body of a request. */
export const bodyOf = ({ tenant, scope, application, agent }: RequestedToken): string =>
  JSON.stringify(agent === undefined ? { tenant, scope, application } : { tenant, scope, agent })

/**
 * Sends one request to `POST /tokens`. Does not retry and follows no redirect. Resolves with any response.
 *
 * @param signal its deadline
 * @param spans makes a span of it, of which the broker's spans are then parts
 * @throws BrokerError `upstream_unavailable` without a response
 */
export function postTokens(
  { url, egress }: BrokerAddress,
  { bearer, tls }: WorkloadCredential,
  requested: RequestedToken,
  signal: AbortSignal,
  spans: Spans = noSpans,
): Promise<BrokerResponse> {
  const endpoint = new URL(tokensPath, url)
  const headers = {
    accept: 'application/json',
    'content-type': 'application/json',
    ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
  }
  let status: number | undefined
  return spans.call(
    httpCall('POST', endpoint, () => status),
    async traceparent => {
      const traced = { ...headers, ...(traceparent !== undefined && { traceparent }) }
      const options = { method: 'POST', headers: traced, ...tls, signal }
      const response = await send(endpoint, egress, options, bodyOf(requested))
      status = response.status
      return response
    },
  )
}

/**
 * Sends one request and reads the response.
 * @throws BrokerError `upstream_unavailable` without a response; its cause says why
 */
export async function send(
  url: URL,
  egress: Egress,
  options: OutgoingRequest,
  body: string | undefined,
): Promise<BrokerResponse> {
  try {
    const response = await sendRequest(url, egress, options, body)
    const text = await readAll(response, url)
    return { status: response.statusCode ?? 0, text, retryAfter: response.headers['retry-after'] }
  } catch (cause) {
    throw new BrokerError('upstream_unavailable', 'The broker could not be reached.', {
      reason: options.signal.aborted ? 'timeout' : 'network',
      cause,
    })
  }
}

/**
 * The token of a response with status 200, if it is the requested one. What makes a token unusable for every caller is
 * checked as for Entra itself. The central broker has compared its tenant, application and audience with ids that the
 * caller may know by name only.
 *
 * @throws BrokerError `upstream_invalid`; `upstream_unavailable` for a token that expires now
 */
export function receivedToken(requested: RequestedToken, text: string): ReceivedToken {
  const body = membersOfJson(text)
  const { access_token, expires_in: expiresIn, refresh_in: refreshIn, tenant, scope } = body
  if (access_token === undefined || !isLifetime(expiresIn)) {
    throw unusable('unusable', 'has no access_token or no valid expires_in')
  }
  const token = readToken(body, 'The broker')
  refuseDelegated(token, 'The broker')
  if (expiresIn === 0) {
    const detail = "The broker's token expires within this second."
    throw new BrokerError('upstream_unavailable', detail, { reason: 'expired' })
  }
  // The central broker's policy says what a name stands for.
  if (!isScopeName(requested.scope) && scope !== requested.scope)
    throw unusable('wrong_audience', 'is for another scope')
  if (isGuid(requested.tenant) && tenant !== requested.tenant) throw unusable('wrong_tenant', 'is for another tenant')
  if (!isOfClient(requested, body)) {
    throw unusable(
      'wrong_application',
      `is for another ${requested.agent === undefined ? 'application' : 'agent identity'}`,
    )
  }
  return {
    token,
    expiresIn,
    refreshIn: isLifetime(refreshIn) ? refreshIn : undefined,
    tenant: typeof tenant === 'string' && isGuid(tenant) ? tenant : undefined,
    scope: typeof scope === 'string' ? scope : undefined,
  }
}

/** Whether a response is for the requested application, or for the requested agent identity, as far as the request named it. */
function isOfClient({ application, agent }: RequestedToken, body: Members): boolean {
  if (agent !== undefined) return isGuid(agent) || body['agent'] === agent
  return isGuid(application) || (body['application'] === application && body['agent'] === undefined)
}

/** Whether a value can be a token's lifetime in seconds: a whole number, which JSON's `1e999` is not. */
const isLifetime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxLifetimeSeconds

const unusable = (reason: ReasonOf<'upstream_invalid'>, what: string) =>
  new BrokerError('upstream_invalid', `The broker's response ${what}; it was discarded.`, { reason })
