import { ConfidentialClientApplication } from '@azure/msal-node'
import { hedged, Hedges } from '../../broker/lib/hedge.ts'
import { timed } from '../../broker/lib/timed.ts'
import { maxLifetimeSeconds, readToken, verifyToken } from '../../broker/tokens/verify-token.ts'
import type { Clock, Wait } from '../../broker/lib/clock.ts'
import { membersOfJson } from '../../broker/lib/json-members.ts'
import type { Spans } from '../../broker/lib/spans.ts'
import type { Grant } from '../../broker/authorization/authorize.ts'
import type { Assertion, AssertionSource, Events, ExchangeTarget, IssuedToken } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { exchangeFailure, readId } from './entra-failure.ts'
import { EntraHttpClient } from './http-client.ts'
import type { Egress } from '../network/egress.ts'

// The last hop, broker → Entra: the assertion and a grant → the tenant's access token.

/** What {@link entra} needs. */
export interface EntraOptions<Target extends ExchangeTarget = Grant> {
  /**
   * The origin of Entra: `https://login.microsoftonline.com`, or another cloud's. The identity's token is sent there.
   */
  readonly authority: string
  readonly egress: Egress
  readonly assertions: AssertionSource
  readonly clock: Clock
  readonly events: Pick<Events, 'upstreamCalled' | 'clockCompared'> & {
    /** A token came that is not a readable JWT. */
    readonly opaqueToken: (target: Target) => void
  }
  /** Measures how long an exchange hangs. Default: a timer. */
  readonly wait?: Wait
  readonly spans?: Spans
}

/**
 * An exchange that has not ended after so many milliseconds is made once more beside it. Less than the time in which a key
 * is served again after an outage, and more than an exchange usually takes.
 */
export const hedgeAfterMs = 2_000

/**
 * Gets tokens from Entra. The broker sends a client-credentials request as the multi-tenant application to the target
 * tenant, with the managed identity's token as client assertion
 * (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
 *
 * Every fetch has its own MSAL application, because a long-lived one keeps every token for ever and searches them
 * linearly. The broker's cache is the only one. MSAL knows the token endpoint, so it requests no metadata. Rejects with a
 * {@link BrokerError}; does not retry, except once with a renewed assertion. An exchange that hangs is repeated every
 * {@link hedgeAfterMs}, as far as {@link Hedges} allow; the first response counts.
 */
export function entra<Target extends ExchangeTarget = Grant>(
  options: EntraOptions<Target>,
): (target: Target, signal: AbortSignal) => Promise<IssuedToken> {
  const { authority, assertions, clock, events, wait } = options
  const upstream = { kind: 'authority', name: authority } as const
  const hedges = new Hedges()
  const timedExchange = (target: Target, assertion: Assertion, signal: AbortSignal) => {
    const once = (own: AbortSignal) =>
      timed(
        () => exchange(target, assertion, options, own),
        clock,
        (seconds, error) => {
          // Aborted because another one has responded, which says more about the authority.
          if (own.aborted && !signal.aborted) return
          events.upstreamCalled(upstream, seconds, error)
        },
      )
    return hedged(once, hedgeAfterMs, signal, wait, hedges)
  }
  return async (target, signal) => {
    const assertion = await assertions.get(signal)
    try {
      return await timedExchange(target, assertion, signal)
    } catch (thrown) {
      if (!(thrown instanceof BrokerError) || thrown.reason !== 'assertion') throw thrown
      // Entra refused the assertion. Try once more if the platform has issued another one meanwhile.
      const renewed = await assertions.renew(assertion, signal).catch(() => assertion)
      if (renewed.token === assertion.token) throw thrown
      return timedExchange(target, renewed, signal)
    }
  }
}

async function exchange<Target extends ExchangeTarget>(
  target: Target,
  assertion: Assertion,
  { authority, egress, clock, events, spans }: EntraOptions<Target>,
  signal: AbortSignal,
): Promise<IssuedToken> {
  const client = new EntraHttpClient(authority, egress, signal, spans)
  try {
    await acquireToken(target, assertion, authority, client)
    // MSAL reads the body only: it would accept a token in the body of a server error.
    if (client.response?.status !== 200) throw new Error('the response has a token but not status 200')
  } catch (thrown) {
    if (client.response === undefined && signal.aborted) throw timeoutError()
    // MSAL throws a TypeError at a field of another type. What is wrong with the token is more precise.
    if (hasToken(client)) issuedToken(target, client, clock.now())
    throw exchangeFailure(
      client.response,
      client.failure ?? thrown,
      { target, authority, assertion: assertion.token },
      clock.now(),
    )
  } finally {
    const offset = clockOffset(client.response?.header('date'), clock.now())
    if (offset !== undefined) events.clockCompared({ kind: 'authority', name: authority }, offset)
  }
  const issued = issuedToken(target, client, clock.now())
  if (issued.expiresAt === undefined) events.opaqueToken(target)
  return issued
}

/**
 * How many seconds `now` is ahead of the date of a response (RFC 9110 §6.6.1). The date is rounded down to a second: half a
 * second is subtracted, so that equal clocks are 0 on average.
 */
function clockOffset(date: string | undefined, now: number): number | undefined {
  const at = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(at) ? undefined : Math.round((now - at - 500) / 1000)
}

/** Lets MSAL make and send one client-credentials request. The response is in the client. */
async function acquireToken(
  { tenant, clientId, scope }: ExchangeTarget,
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
  await application.acquireTokenByClientCredential({ scopes: [scope], skipCache: true, azureRegion: noRegion })
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
function issuedToken(target: ExchangeTarget, client: EntraHttpClient, now: number): IssuedToken {
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
  const expiresAt = verifyToken(target, { token, expiresIn }, now)
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
