import { createHash, timingSafeEqual } from 'node:crypto'
import { BrokerError } from '../errors.ts'
import type { Authenticate } from './authenticate.ts'
import { AuthenticatedCaller } from './caller.ts'

/**
 * Authenticates whoever holds one secret, in constant time. It is the only caller of an agent, and what it may have is
 * decided by the central broker.
 *
 * Rejects with `invalid_token`.
 */
export function createSecretAuthenticate(secret: string): Authenticate {
  const expected = digest(secret)
  const caller = new AuthenticatedCaller('secret', 'local', 'holder of the local secret', {})
  return credential =>
    timingSafeEqual(digest(credential), expected)
      ? caller
      : Promise.reject(
          new BrokerError('invalid_token', 'The credential is not the local secret of this agent.', {
            reason: 'secret',
          }),
        )
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
