import { timed } from '../broker/lib/timed.ts'
import type { Clock } from '../broker/lib/clock.ts'
import { isGuid, isScopeName } from '../broker/lib/identifiers.ts'
import { membersOfJson } from '../broker/lib/json-members.ts'
import { maxLifetimeSeconds, readToken, refuseDelegated } from '../broker/tokens/verify-token.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { Events, IssuedToken, TokenSource, Upstream } from '../broker/events.ts'
import { BrokerError, type ReasonOf } from '../errors.ts'
import { readAll } from '../outbound/issuers/document.ts'
import type { Egress } from '../outbound/network/egress.ts'
import { sendRequest, type OutgoingRequest } from '../outbound/network/request.ts'
import { parentFailure, type ParentResponse } from './parent-failure.ts'
import type { WorkloadCredential } from './workload-credential.ts'

/** The central broker, and the credential of the workload. */
export interface ParentBrokerOptions {
  /** The central broker's origin. */
  readonly url: string
  /** Must not keep connections, so that renewed files are used. */
  readonly egress: Egress
  /** Reads the workload's credential; called for each request. */
  readonly credential: () => Promise<WorkloadCredential>
  readonly clock: Clock
  /** Called after each token request. */
  readonly upstreamCalled: Events['upstreamCalled']
}

/** The central broker as an upstream, for health and metrics. */
export const parentUpstream = (url: string): Upstream => ({ kind: 'authority', name: url })

/** Seconds before the agent refreshes a token at the earliest, so that a broker that refreshes it now has time to. */
const minRefreshIn = 15

/**
 * Gets tokens from the central broker's `POST /tokens` with the workload's credential. That broker decides, and its
 * refusal is passed on. Does not retry and follows no redirect. Each fetch opens its own connection, so that renewed
 * files are used. Rejects with a {@link BrokerError}.
 */
export function parentBroker({ url, egress, credential, clock, upstreamCalled }: ParentBrokerOptions): TokenSource {
  return (grant, signal) =>
    timed(
      async () => {
        const { bearer, tls } = await credential()
        const body = JSON.stringify({ tenant: grant.tenant, scope: grant.scope, application: grant.application })
        const headers = {
          accept: 'application/json',
          'content-type': 'application/json',
          ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        }
        const response = await send(new URL('/tokens', url), egress, { method: 'POST', headers, ...tls, signal }, body)
        if (response.status !== 200) throw parentFailure(response, clock.now())
        return issuedToken(grant, response.text)
      },
      clock,
      (seconds, error) => upstreamCalled(parentUpstream(url), seconds, error),
    )
}

/**
 * Resolves if the broker responds with a status below 500: its name, its certificate and the workload's TLS files are
 * usable. Whether the broker accepts the credential is not checked. Rejects otherwise.
 */
export async function checkReachable(
  { url, egress, credential }: Pick<ParentBrokerOptions, 'url' | 'egress' | 'credential'>,
  signal: AbortSignal,
): Promise<void> {
  const { tls } = await credential()
  const { status } = await send(new URL('/livez', url), egress, { method: 'GET', ...tls, signal }, undefined)
  if (status >= 500) throw new Error(`the broker responded HTTP ${status}`)
}

async function send(
  url: URL,
  egress: Egress,
  options: OutgoingRequest,
  body: string | undefined,
): Promise<ParentResponse> {
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
 * The token, if it is the requested one. What makes a token unusable for every caller is checked as for Entra itself. The
 * central broker has compared its tenant, application and audience with ids that the agent may know by name only.
 */
function issuedToken(grant: Grant, text: string): IssuedToken {
  const body = membersOfJson(text)
  const { access_token, expires_in: expiresIn, refresh_in: refreshIn } = body
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
  if (!isScopeName(grant.scope) && body['scope'] !== grant.scope)
    throw unusable('wrong_audience', 'is for another scope')
  if (isGuid(grant.tenant) && body['tenant'] !== grant.tenant) throw unusable('wrong_tenant', 'is for another tenant')
  if (!isGuid(grant.application) && body['application'] !== grant.application) {
    throw unusable('wrong_application', 'is for another application')
  }
  return {
    token,
    expiresIn,
    ...(isLifetime(refreshIn) && { refreshIn: Math.max(refreshIn, minRefreshIn) }),
  }
}

/** Whether a value can be a token's lifetime in seconds: a whole number, which JSON's `1e999` is not. */
const isLifetime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxLifetimeSeconds

const unusable = (reason: ReasonOf<'upstream_invalid'>, what: string) =>
  new BrokerError('upstream_invalid', `The broker's response ${what}; it was discarded.`, { reason })
