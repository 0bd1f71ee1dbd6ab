import { AsyncLocalStorage } from 'node:async_hooks'
import { createHttpHeaders, createPipelineRequest } from '@azure/core-rest-pipeline'
import { ManagedIdentityApplication, type INetworkModule, type NetworkResponse } from '@azure/msal-node'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Assertion } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { retryAfterPart } from './entra-failure.ts'
import { EntraHttpClient } from './http-client.ts'

/** Which identity to ask for, and where. */
export interface ManagedIdentitySettings {
  /** Client id of the user-assigned managed identity. */
  readonly clientId: string
  /** `api://AzureADTokenExchange`, or what the federated credential names instead. */
  readonly audience: string
  /**
   * `IDENTITY_ENDPOINT`. MSAL reads it, and `IDENTITY_HEADER`, from the process' own environment, once per process;
   * here it says which origin may be talked to.
   */
  readonly endpoint: string
}

/** MSAL keeps the first network client it sees for the life of the process, so that one finds the fetch it works for here. */
const currentClient = new AsyncLocalStorage<EntraHttpClient>()

const network: INetworkModule = {
  sendGetRequestAsync: (url, options) => send('GET', url, options?.headers),
  // Only sources that are not configured here post.
  sendPostRequestAsync: (url, options) => send('POST', url, options?.headers),
}

async function send<T>(
  method: 'GET' | 'POST',
  url: string,
  headers: Record<string, string> | undefined,
): Promise<NetworkResponse<T>> {
  const client = currentClient.getStore()
  if (!client) throw new Error('no fetch is under way')
  const request = createPipelineRequest({
    method,
    url,
    headers: createHttpHeaders(headers),
    allowInsecureConnection: true,
  })
  const response = await client.sendRequest(request)
  const body: T = JSON.parse(response.bodyAsText ?? '')
  return { status: response.status, headers: response.headers.toJSON(), body }
}

/**
 * The managed identity's token, from the endpoint of Container Apps and App Service
 * (https://learn.microsoft.com/azure/container-apps/managed-identity#rest-endpoint-reference), asked anew each time.
 *
 * MSAL's application is used rather than the credential class around it, because only it can be told not to answer from
 * its own process-wide cache; the broker keeps the token itself.
 */
export function managedIdentity(
  settings: ManagedIdentitySettings,
  { now }: Pick<Clock, 'now'>,
): (signal: AbortSignal) => Promise<Assertion> {
  const application = new ManagedIdentityApplication({
    managedIdentityIdParams: { userAssignedClientId: settings.clientId },
    system: { networkClient: network, disableInternalRetries: true },
  })
  const request = { resource: settings.audience, forceRefresh: true }

  return async signal => {
    const client = new EntraHttpClient(settings.endpoint, signal)
    try {
      const result = await currentClient.run(client, () => application.acquireToken(request))
      const expiresAt = result.expiresOn?.getTime()
      // MSAL looks at the body only.
      if (client.response?.status !== 200) throw new Error('the answer does not have status 200')
      if (result.accessToken === '' || expiresAt === undefined || Number.isNaN(expiresAt)) {
        throw new Error('the answer has no token or no expiry')
      }
      return { token: result.accessToken, expiresAt }
    } catch (thrown) {
      throw identityFailure(client, thrown, settings, now)
    }
  }
}

function identityFailure(
  client: EntraHttpClient,
  cause: unknown,
  { clientId }: ManagedIdentitySettings,
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
    return new BrokerError('identity_unavailable', `The identity endpoint refused the request (HTTP ${status}).`, {
      reason: 'refused',
      remedy:
        `Assign the user-assigned managed identity with client id ${clientId} to this app, ` +
        'or correct BROKER_IDENTITY_CLIENT_ID.',
    })
  }
  return new BrokerError('identity_unavailable', `The identity endpoint gave no usable response (HTTP ${status}).`, {
    reason: status === 200 ? 'unusable' : 'status',
    ...retryAfterPart(status, client.response?.header('retry-after'), now()),
  })
}
