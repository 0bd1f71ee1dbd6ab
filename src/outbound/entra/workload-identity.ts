import { decodeJwt } from 'jose'
import { timed, type Observer } from '../../broker/lib/timed.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Assertion, AssertionSource } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { readLimitedFile } from '../files/files.ts'

const maxTokenBytes = 64 * 1024

/**
 * The projected service-account token of AKS workload identity as client assertion
 * (https://learn.microsoft.com/azure/aks/workload-identity-overview). The kubelet replaces the file, so it is read for
 * every exchange and nothing is kept.
 *
 * @param homeTenant `AZURE_TENANT_ID`: such a token does not name the tenant itself
 * @param options.fetched told of every reading
 */
export function workloadIdentity(
  tokenFile: string,
  homeTenant: string,
  { clock, fetched }: { readonly clock: Clock; readonly fetched: Observer },
): AssertionSource {
  const read = () => timed(() => readAssertion(tokenFile), clock, fetched)
  return { get: read, renew: read, homeTenant: () => homeTenant }
}

async function readAssertion(tokenFile: string): Promise<Assertion> {
  try {
    const token = (await readLimitedFile(tokenFile, maxTokenBytes)).trim()
    const { exp } = decodeJwt(token)
    if (exp === undefined) throw new Error('the token has no expiry')
    return { token, expiresAt: exp * 1000 }
  } catch (cause) {
    throw new BrokerError('identity_unavailable', 'The federated token file could not be read.', {
      reason: 'file',
      remedy: 'Check that AZURE_FEDERATED_TOKEN_FILE names the projected service-account token of this pod.',
      cause,
    })
  }
}
