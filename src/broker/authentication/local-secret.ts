import { createHash, timingSafeEqual } from 'node:crypto'
import { BrokerError } from '../../errors.ts'
import { textOf, type Credential } from './credential.ts'
import type { SecretFacts } from '../policy/caller-facts.ts'
import type { Policy } from '../policy/model.ts'

/** A caller with an agent's secret. Only this file creates one, for a credential that is the secret. */
class AuthenticatedSecret implements SecretFacts {
  readonly kind = 'secret'
  readonly id = 'secret local'
  readonly policy: Policy
  /** Makes the type nominal: an object with the same fields is not a caller. */
  protected readonly verified = true

  constructor(policy: Policy) {
    this.policy = policy
    Object.freeze(this)
  }
}

/** An agent's caller, with the verified local secret. Only this file creates one. */
export type SecretCaller = AuthenticatedSecret

/**
 * Authenticates every client that sends the secret, as one caller. The comparison takes constant time. An agent has no
 * other caller; the central broker decides which tokens the agent gets.
 *
 * Throws `unauthenticated` without a credential; rejects with `invalid_token` for a wrong one.
 *
 * @param policy the policy that decides about the caller
 */
export function createSecretAuthenticate(
  secret: string,
  policy: Policy,
): (credential: Credential | undefined) => SecretCaller | Promise<SecretCaller> {
  const expected = sha256(secret)
  const caller = new AuthenticatedSecret(policy)
  return credential => {
    if (credential === undefined) throw missingSecret()
    return timingSafeEqual(sha256(textOf(credential)), expected)
      ? caller
      : Promise.reject(
          new BrokerError('invalid_token', 'The credential is not the local secret of this agent.', {
            reason: 'secret',
          }),
        )
  }
}

const missingSecret = () =>
  new BrokerError(
    'unauthenticated',
    'Send the local secret of this agent as X-IDENTITY-HEADER or "Authorization: Bearer".',
  )

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()
