import { ConfidentialClientApplication } from '@azure/msal-node'
import { maxLifetimeSeconds, readToken, type UnverifiedToken } from '../../broker/tokens/verify-token.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import { membersOfJson } from '../../broker/lib/json-members.ts'
import type { Spans } from '../../broker/lib/spans.ts'
import type { Assertion, Events, IssuedToken } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import type { RemedyContext } from './aadsts-codes.ts'
import { exchangeFailure, readId } from './entra-failure.ts'
import { EntraHttpClient } from './http-client.ts'
import type { Egress } from '../network/egress.ts'

// The last hop, broker → Entra: one request for a token. entra.ts decides which are made.

/** One request: who makes it for what, and how its token is verified. */
export interface TokenRequestToEntra extends Pick<RemedyContext, 'target' | 'step'> {
  readonly clientId: string
  readonly tenant: string
  readonly scope: string
  /** The agent identity for which a blueprint requests a token. */
  readonly fmiPath?: string
  /**
   * Compares the token with what was requested.
   * @param now milliseconds since 1970, when the response arrived
   * @returns the token's own `exp` in milliseconds since 1970; `undefined` if it is not known
   * @throws BrokerError `upstream_invalid`
   */
  readonly verify: (issued: UnverifiedToken, now: number) => number | undefined
}

/** How a request is sent. */
export interface RequestOptions {
  readonly authority: string
  readonly egress: Egress
  readonly clock: Clock
  readonly events: Pick<Events, 'clockCompared'>
  readonly spans?: Spans
}

/**
 * Sends one request. Rejects with a {@link BrokerError}; does not retry.
 *
 * @param assertion of the client
 */
export async function exchange(
  request: TokenRequestToEntra,
  assertion: Assertion,
  { authority, egress, clock, events, spans }: RequestOptions,
  signal: AbortSignal,
): Promise<IssuedToken> {
  const { target, step } = request
  const client = new EntraHttpClient(authority, egress, signal, spans)
  try {
    await acquireToken(request, assertion, authority, client)
    // MSAL reads the body only: it would accept a token in the body of a server error.
    if (client.response?.status !== 200) throw new Error('the response has a token but not status 200')
  } catch (thrown) {
    if (client.response === undefined && signal.aborted) throw timeoutError()
    // MSAL throws a TypeError at a field of another type. What is wrong with the token is more precise.
    if (hasToken(client)) issuedToken(request, client, clock.now())
    throw exchangeFailure(
      client.response,
      client.failure ?? thrown,
      { target, authority, assertion: assertion.token, ...(step && { step }) },
      clock.now(),
    )
  } finally {
    const offset = clockOffset(client.response?.header('date'), clock.now())
    if (offset !== undefined) events.clockCompared({ kind: 'authority', name: authority }, offset)
  }
  return issuedToken(request, client, clock.now())
}

/**
 * How many seconds `now` is ahead of the date of a response (RFC 9110 §6.6.1). The date is rounded down to a second: half a
 * second is subtracted, so that equal clocks are 0 on average.
 */
function clockOffset(date: string | undefined, now: number): number | undefined {
  const at = date === undefined ? Number.NaN : Date.parse(date)
  // With 0 added, because half a second is rounded to -0.
  return Number.isNaN(at) ? undefined : Math.round((now - at - 500) / 1000) + 0
}

/** Lets MSAL make and send one client-credentials request. The response is in the client. */
async function acquireToken(
  { tenant, clientId, scope, fmiPath }: TokenRequestToEntra,
  assertion: Assertion,
  authority: string,
  networkClient: EntraHttpClient,
): Promise<void> {
  const base = `${authority}/${tenant}`
  const application = new ConfidentialClientApplication({
    auth: {
      clientId,
      clientAssertion: assertion.token,
      authority: base,
      knownAuthorities: [new URL(authority).host],
      // Entra's endpoints are the same for every tenant. The discovery document would be one more request for each fetch.
      authorityMetadata: JSON.stringify({
        issuer: `${base}/v2.0`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        token_endpoint: `${base}/oauth2/v2.0/token`,
        jwks_uri: `${base}/discovery/v2.0/keys`,
      }),
    },
    system: { networkClient, disableInternalRetries: true },
  })
  // The environment must not choose another host.
  await application.acquireTokenByClientCredential({
    scopes: [scope],
    skipCache: true,
    azureRegion: noRegion,
    ...(fmiPath !== undefined && { fmiPath }),
  })
}

/** The value with which MSAL ignores its variables for regions. */
const noRegion = 'DisableMsalForceRegion'

const timeoutError = () =>
  new BrokerError('upstream_unavailable', 'Entra did not respond in time.', { reason: 'timeout' })

/** Whether the last response has status 200 and the field of a token, of whatever type. */
const hasToken = ({ response }: EntraHttpClient): boolean =>
  response?.status === 200 && membersOfJson(response.body)['access_token'] !== undefined

/**
 * The response's token, compared with the request, with its lifetimes and ids. It is read from the response itself:
 * MSAL checks no type, replaces a missing expiry by the current time, and drops the ids that Microsoft's support needs.
 *
 * @throws BrokerError `upstream_invalid` if the response has no valid token or expiry, or the token is not the requested
 *   one
 */
function issuedToken(request: TokenRequestToEntra, client: EntraHttpClient, now: number): IssuedToken {
  const body = membersOfJson(client.response?.body ?? '')
  const token = readToken(body, 'Entra')
  const expiresIn = positiveSeconds(body['expires_in'])
  if (expiresIn === undefined) {
    throw new BrokerError(
      'upstream_invalid',
      "Entra's response has a token without a valid expires_in; it was discarded.",
      {
        reason: 'no_expiry',
      },
    )
  }
  const expiresAt = request.verify({ token, expiresIn }, now)
  const refreshIn = positiveSeconds(body['refresh_in'])
  const traceId = readId(client.response?.header('x-ms-request-id'))
  const correlationId = readId(client.response?.correlationId)
  return {
    token,
    expiresIn,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(refreshIn !== undefined && { refreshIn }),
    ...(traceId !== undefined && { traceId }),
    ...(correlationId !== undefined && { correlationId }),
  }
}

/**
 * A number of seconds, as a JSON number or as a string of digits; `undefined` if it is neither, not positive, or more
 * than seven days.
 */
function positiveSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  return typeof seconds === 'number' && seconds > 0 && seconds <= maxLifetimeSeconds ? seconds : undefined
}
