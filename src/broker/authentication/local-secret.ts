import { createHash, timingSafeEqual } from 'node:crypto'
import { BrokerError } from '../../errors.ts'
import type { SecretFacts } from '../policy/caller-facts.ts'
import type { Policy } from '../policy/model.ts'

/** Whoever holds an agent's secret: made only here, from a credential that is that secret. */
class AuthenticatedSecret implements SecretFacts {
  readonly kind = 'secret'
  readonly id = 'secret local'
  readonly policy: Policy
  /** Makes the type nominal: an object that merely looks like a caller is none. */
  protected readonly verified = true

  constructor(policy: Policy) {
    this.policy = policy
    Object.freeze(this)
  }
}

export type SecretCaller = AuthenticatedSecret

/**
 * Authenticates whoever holds one secret, in constant time. It is the only caller of an agent, and what it may have is
 * decided by the central broker.
 *
 * Rejects with `unauthenticated`, `invalid_token`.
 *
 * @param policy what its caller is judged by
 */
export function createSecretAuthenticate(
  secret: string,
  policy: Policy,
): (credential: string | undefined) => SecretCaller | Promise<SecretCaller> {
  const expected = digest(secret)
  const caller = new AuthenticatedSecret(policy)
  return credential => {
    if (credential === undefined) throw missing()
    return timingSafeEqual(digest(credential), expected)
      ? caller
      : Promise.reject(
          new BrokerError('invalid_token', 'The credential is not the local secret of this agent.', {
            reason: 'secret',
          }),
        )
  }
}

const missing = () =>
  new BrokerError(
    'unauthenticated',
    'Send the local secret of this agent as X-IDENTITY-HEADER or "Authorization: Bearer".',
  )

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
