import { systemClock } from '../broker/lib/clock.ts'
import { BrokerError } from '../errors.ts'
import { createEgress } from '../outbound/network/egress.ts'
import { failureOf, refusalOf } from './token-refusal.ts'
import type { OwnIdentity, TokenSettings } from './token-settings.ts'
import { postTokens, receivedToken, type ReceivedToken } from './tokens-request.ts'
import { readCredential } from './workload-credential.ts'

/** Longer than a broker takes for an exchange with its retries, by default. */
const brokerMs = 15_000
/** The identity endpoint of a replica that has just started takes seconds. */
const identityMs = 15_000

/**
 * Requests a token from the broker, once. It does not retry: its exit code says whether that makes sense.
 *
 * @throws ExitError with what the broker says, or why it was not reached
 */
export async function requestToken(settings: TokenSettings): Promise<ReceivedToken> {
  const { broker: url, proxy, requested, warnings } = settings
  const egress = createEgress(proxy, { keepAlive: false, connectWithinMs: brokerMs })
  try {
    const credential = await credentialOf(settings)
    const response = await postTokens({ url, egress }, credential, requested, AbortSignal.timeout(brokerMs))
    if (response.status !== 200) throw refusalOf(response)
    return receivedToken(requested, response.text)
  } catch (thrown) {
    throw thrown instanceof BrokerError ? failureOf(thrown, warnings) : thrown
  }
}

async function credentialOf({ credential, identity }: TokenSettings) {
  const files = await readCredential(credential)
  return identity === undefined ? files : { ...files, bearer: await tokenOfIdentity(identity) }
}

/** The token of the caller's own managed identity. MSAL is loaded only here: agents and files do without it. */
async function tokenOfIdentity(identity: OwnIdentity): Promise<string> {
  const { managedIdentity } = await import('../outbound/entra/managed-identity.ts')
  const settingNames = { clientId: '--client-id', audience: '--audience' }
  const { token } = await managedIdentity({ ...identity, settingNames }, systemClock)(AbortSignal.timeout(identityMs))
  return token
}
