import { ClientAssertionCredential } from '@azure/identity'
import { timed } from '../../broker/lib/timed.ts'
import { verifyToken } from '../../broker/tokens/verify-token.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import { membersOfJson } from '../../broker/lib/json-members.ts'
import type { Grant } from '../../broker/authorization/authorize.ts'
import type { Assertion, AssertionSource, Events, IssuedToken, TokenSource } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { exchangeFailure, readId } from './entra-failure.ts'
import { EntraHttpClient } from './http-client.ts'

/** What {@link entra} needs. */
export interface EntraOptions {
  /** `https://login.microsoftonline.com`, or another cloud's. The identity's token is sent there. */
  readonly authority: string
  readonly assertions: AssertionSource
  readonly clock: Clock
  readonly events: Pick<Events, 'asked' | 'unreadable'>
}

/**
 * Tokens from Entra: the managed identity's token as client assertion of a client-credentials request, made as the
 * multi-tenant application at the target tenant
 * (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
 *
 * Every fetch has a credential of its own: a long-lived one keeps every token for ever and searches them linearly. The
 * broker's cache is the only one.
 */
export function entra(options: EntraOptions): TokenSource {
  const { authority, assertions, clock, events } = options
  const upstream = { kind: 'authority', name: authority } as const
  const ask = (grant: Grant, assertion: Assertion, signal: AbortSignal) =>
    timed(
      () => exchange(grant, assertion, options, signal),
      clock,
      (seconds, error) => events.asked(upstream, seconds, error),
    )
  return async (grant, signal) => {
    const assertion = await assertions.get(signal)
    try {
      return await ask(grant, assertion, signal)
    } catch (thrown) {
      if (!(thrown instanceof BrokerError) || thrown.reason !== 'assertion') throw thrown
      // Entra refused the assertion itself: worth one more attempt, if the platform has another by now.
      const renewed = await assertions.renew(assertion, signal).catch(() => assertion)
      if (renewed.token === assertion.token) throw thrown
      return ask(grant, renewed, signal)
    }
  }
}

async function exchange(
  grant: Grant,
  assertion: Assertion,
  { authority, clock, events }: EntraOptions,
  signal: AbortSignal,
): Promise<IssuedToken> {
  const client = new EntraHttpClient(authority, signal)
  const credential = new ClientAssertionCredential(
    grant.tenant,
    grant.clientId,
    () => Promise.resolve(assertion.token),
    {
      authorityHost: authority,
      disableInstanceDiscovery: true,
      httpClient: client,
      retryOptions: { maxRetries: 0 },
      redirectOptions: { maxRetries: 0 },
    },
  )
  let token: string
  try {
    token = (await credential.getToken(grant.scope)).token
    // MSAL looks at the body only, and takes a server error with a token in it for a token.
    if (client.response?.status !== 200) throw new Error('the answer has a token but not status 200')
  } catch (thrown) {
    if (client.response === undefined && signal.aborted) throw timeoutError()
    throw exchangeFailure(
      client.response,
      client.failure ?? thrown,
      { grant, authority, assertion: assertion.token },
      clock.now(),
    )
  }
  const checked = verifiedToken(grant, token, client, clock.now())
  if (checked.expiresAt === undefined) events.unreadable(grant)
  return checked
}

const timeoutError = () =>
  new BrokerError('upstream_unavailable', 'Entra did not respond in time.', { reason: 'timeout' })

/**
 * The SDK's token with the lifetimes of the answer itself: the SDK takes a missing expiry for "now" and says nothing of
 * the ids that Microsoft's support asks for.
 */
function verifiedToken(grant: Grant, token: string, client: EntraHttpClient, now: number): IssuedToken {
  const body = membersOfJson(client.response?.body ?? '')
  const expiresIn = positiveSeconds(body['expires_in'])
  if (expiresIn === undefined) {
    throw new BrokerError('upstream_invalid', "Entra's response has a token without an expiry; it was discarded.", {
      reason: 'no_expiry',
    })
  }
  const expiresAt = verifyToken(grant, { token, expiresIn }, now)
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

/** A number of seconds, also where it is written as text. */
function positiveSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds : undefined
}
