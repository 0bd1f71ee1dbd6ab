import { AsyncLocalStorage } from 'node:async_hooks'
import { ManagedIdentityApplication, type INetworkModule } from '@azure/msal-node'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Assertion } from '../../broker/events.ts'
import { membersOfJson } from '../../broker/lib/json-members.ts'
import type { Spans } from '../../broker/lib/spans.ts'
import { maxLifetimeSeconds, visible } from '../../broker/tokens/verify-token.ts'
import { BrokerError, type PartsOf } from '../../errors.ts'
import { retryAfterPart } from './entra-failure.ts'
import { readExpiresOn } from './expires-on.ts'
import { EntraHttpClient } from './http-client.ts'
import { directEgress } from '../network/egress.ts'

// The first hop, broker → identity endpoint: the managed identity's token, which is the client assertion for Entra.

/** Which managed identity, and where its endpoint is. */
export interface ManagedIdentitySettings {
  /** Client id of the user-assigned managed identity; `undefined` for the system-assigned one. */
  readonly clientId: string | undefined
  /** The audience of the federated credential, `api://AzureADTokenExchange` by default. */
  readonly audience: string
  /**
   * `IDENTITY_ENDPOINT`: the only origin that requests are sent to. MSAL itself reads it, and `IDENTITY_HEADER`, from
   * the process' environment, once per process.
   */
  readonly endpoint: string
  /** Where client id and audience are set, for remedies. Default: the broker's variables. */
  readonly settingNames?: { readonly clientId: string; readonly audience: string }
}

/**
 * The HTTP client of the running fetch. MSAL keeps its first network module for the life of the process, so it looks it
 * up here.
 */
const currentClient = new AsyncLocalStorage<EntraHttpClient>()

/** The identity endpoint belongs to this replica, and a proxy could not reach it. One for the process, as MSAL's is. */
const direct = directEgress(true)

const network: INetworkModule = {
  sendGetRequestAsync: (url, options) => runningClient().sendGetRequestAsync(url, options),
  // Only MSAL's sources that are not configured here use POST.
  sendPostRequestAsync: (url, options) => runningClient().sendPostRequestAsync(url, options),
}

function runningClient(): EntraHttpClient {
  const client = currentClient.getStore()
  if (!client) throw new Error('no fetch is running')
  return client
}

/**
 * Gets the managed identity's token from the endpoint of Container Apps and App Service
 * (https://learn.microsoft.com/azure/container-apps/managed-identity#rest-endpoint-reference), with a new request each
 * time.
 *
 * It uses MSAL's application and not the SDK's credential class, because only the former can bypass MSAL's process-wide
 * cache; the broker caches the token itself. The function rejects with a {@link BrokerError} `identity_unavailable`.
 */
export function managedIdentity(
  settings: ManagedIdentitySettings,
  { now }: Pick<Clock, 'now'>,
  spans?: Spans,
): (signal: AbortSignal) => Promise<Assertion> {
  const application = new ManagedIdentityApplication({
    ...(settings.clientId !== undefined && { managedIdentityIdParams: { userAssignedClientId: settings.clientId } }),
    system: { networkClient: network, disableInternalRetries: true },
  })
  const request = { resource: settings.audience, forceRefresh: true }

  return async signal => {
    const client = new EntraHttpClient(settings.endpoint, direct, signal, spans)
    try {
      await currentClient.run(client, () => application.acquireToken(request))
      // MSAL reads the body only.
      if (client.response?.status !== 200) throw new Error('the response does not have status 200')
      return usableAssertion(client.response.body, now())
    } catch (thrown) {
      if (thrown instanceof BrokerError) throw thrown
      throw identityFailure(client, thrown, settings, now)
    }
  }
}

/**
 * The token of a response. MSAL checks no type, and takes an `expires_on` that it cannot read as 1970, so both are read from
 * the response itself.
 *
 * @throws BrokerError `identity_unavailable`, reason `unusable`
 */
function usableAssertion(body: string, now: number): Assertion {
  const { access_token: token, expires_on } = membersOfJson(body)
  if (typeof token !== 'string' || !visible.test(token)) throw new Error('the response has no valid token')
  const expiresAt = readExpiresOn(expires_on)
  if (expiresAt === undefined) {
    throw unusable(
      'has no valid expires_on',
      'Its expires_on must be seconds since 1970, or a date. The clock of this machine is not the cause. Check that ' +
        'nothing else than the platform responds at IDENTITY_ENDPOINT, and restart the replica.',
    )
  }
  if (expiresAt - now > maxLifetimeSeconds * 1000) {
    throw unusable(
      'ends more than seven days from now',
      'Compare the clock of this machine with the real time. If it is right, check that nothing else than the platform ' +
        'responds at IDENTITY_ENDPOINT.',
    )
  }
  return { token, expiresAt }
}

const unusable = (what: string, remedy: string) =>
  new BrokerError('identity_unavailable', `The identity endpoint's token ${what}; it was discarded.`, {
    reason: 'unusable',
    remedy,
  })

function identityFailure(
  client: EntraHttpClient,
  cause: unknown,
  settings: ManagedIdentitySettings,
  now: () => number,
): BrokerError {
  const status = client.response?.status
  if (status === undefined) {
    return new BrokerError('identity_unavailable', 'The identity endpoint could not be reached.', {
      reason: 'network',
      cause: client.failure ?? cause,
    })
  }
  if (status >= 400 && status < 500 && status !== 429) {
    return new BrokerError(
      'identity_unavailable',
      `The identity endpoint refused the request (HTTP ${status}).`,
      refusalOf(status, settings),
    )
  }
  return new BrokerError('identity_unavailable', `The identity endpoint returned no usable token (HTTP ${status}).`, {
    reason: status === 200 ? 'unusable' : 'status',
    ...retryAfterPart(status, client.response?.header('retry-after'), now()),
  })
}

const setByPlatform =
  'The platform sets IDENTITY_ENDPOINT and IDENTITY_HEADER for each replica. Remove both from the settings of the app'

/** What a status below 500 says. Every platform has its own texts, so only the status decides. */
function refusalOf(status: number, settings: ManagedIdentitySettings): PartsOf<'identity_unavailable'> {
  if (status === 401 || status === 403) {
    return { reason: 'identity_header', remedy: `${setByPlatform}, and restart the replica.` }
  }
  if (status === 404 || status === 405 || status === 410) {
    return { reason: 'identity_endpoint', remedy: `${setByPlatform}: at this URL nothing issues tokens.` }
  }
  const { clientId, audience, settingNames: names = ownVariables } = settings
  const assign =
    clientId === undefined
      ? `Assign a system-assigned managed identity to this app, or name the user-assigned one in ${names.clientId}.`
      : `Assign the user-assigned managed identity with client id ${clientId} to this app, or correct ${names.clientId}.`
  return { reason: 'refused', remedy: `${assign} If it is assigned, correct ${names.audience} (${audience}).` }
}

const ownVariables = { clientId: 'BROKER_IDENTITY_CLIENT_ID', audience: 'BROKER_IDENTITY_AUDIENCE' }
