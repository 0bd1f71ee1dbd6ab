import { decodeJwt } from 'jose'
import { timed, type Observer } from '../../broker/lib/async/timed.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Assertion, AssertionSource } from '../../broker/events.ts'
import { BrokerError } from '../../errors.ts'
import { readLimitedFile } from '../files/files.ts'

// The first hop on AKS: the file of the service-account token, which is the client assertion for Entra.

const maxTokenBytes = 64 * 1024

/**
 * Uses the projected service-account token of AKS workload identity as client assertion
 * (https://learn.microsoft.com/azure/aks/workload-identity-overview). The kubelet replaces the file, so it is read for
 * every exchange, and the token is not cached. Reading rejects with a {@link BrokerError} `identity_unavailable`, also if
 * the token has expired: Entra would refuse it, and that refusal would be cached after the file has been replaced.
 *
 * @param tokenFile path of the token, `AZURE_FEDERATED_TOKEN_FILE`
 * @param homeTenant `AZURE_TENANT_ID`; the token itself does not name a tenant
 * @param options.fetched called after each reading, with its duration and error
 */
export function workloadIdentity(
  tokenFile: string,
  homeTenant: string,
  { clock, fetched }: { readonly clock: Clock; readonly fetched: Observer },
): AssertionSource {
  const read = () => timed(() => readValid(tokenFile, clock), clock, fetched)
  return { get: read, renew: read, homeTenant: () => homeTenant }
}

async function readValid(tokenFile: string, { now }: Clock): Promise<Assertion> {
  const assertion = await readAssertion(tokenFile)
  if (assertion.expiresAt > now()) return assertion
  throw new BrokerError('identity_unavailable', 'The token in the federated token file has expired.', {
    reason: 'expired',
    remedy:
      'The kubelet replaces the file of AZURE_FEDERATED_TOKEN_FILE before its token expires: check that it is a projected ' +
      'volume (without subPath) and that the node is healthy, and compare the clock of this machine with the real time.',
  })
}

async function readAssertion(tokenFile: string): Promise<Assertion> {
  try {
    const token = (await readLimitedFile(tokenFile, maxTokenBytes)).trim()
    const { exp } = decodeJwt(token)
    if (exp === undefined || !Number.isFinite(exp)) throw new Error('the token has no expiry')
    return { token, expiresAt: exp * 1000 }
  } catch (cause) {
    throw new BrokerError('identity_unavailable', 'The federated token file could not be read.', {
      reason: 'file',
      remedy: 'Check that AZURE_FEDERATED_TOKEN_FILE is the path of the projected service-account token of this pod.',
      cause,
    })
  }
}
