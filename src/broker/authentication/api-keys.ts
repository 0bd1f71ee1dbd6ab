import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { BrokerError } from '../../errors.ts'
import type { ApiKeyFacts } from '../policy/caller-facts.ts'
import type { ApiKeySettings, Policy } from '../policy/model.ts'

/** A caller with an API key: made only here, from a key whose hash is in the policy. */
class AuthenticatedKey implements ApiKeyFacts {
  readonly kind = 'apiKey'
  readonly id: string
  readonly key: string
  readonly expires: string
  readonly policy: Policy
  /** Makes the type nominal: an object that merely looks like a caller is none. */
  protected readonly verified = true

  constructor({ name, expires }: ApiKeySettings, policy: Policy) {
    this.id = `apiKey ${name}`
    this.key = name
    this.expires = expires
    this.policy = policy
    Object.freeze(this)
  }
}

/** A caller with a verified API key. Only {@link createApiKeys} makes one. */
export type ApiKeyCaller = AuthenticatedKey

interface StoredKey {
  readonly caller: ApiKeyCaller
  readonly sha256: Buffer
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** The API keys of one version of the policy. */
export interface ApiKeys {
  /**
   * The caller whose key has this SHA-256; `undefined` when there is none.
   *
   * @param sha256 in base64url
   * @param now milliseconds since 1970
   * @throws BrokerError `invalid_token` when the key has expired
   */
  readonly find: (sha256: string, now: number) => ApiKeyCaller | undefined
}

/**
 * Keys are found by their hash under a secret of this object, so that the time a look-up takes says nothing about the
 * hashes that are stored, and does not grow with their number; what is found is compared once more in constant time.
 */
export function createApiKeys(policy: Policy): ApiKeys {
  const secret = randomBytes(32)
  const blind = (sha256: Buffer): string => createHmac('sha256', secret).update(sha256).digest('base64url')
  const known = new Map<string, StoredKey>()
  for (const settings of policy.apiKeys) {
    const sha256 = Buffer.from(settings.sha256, 'hex')
    const caller = new AuthenticatedKey(settings, policy)
    known.set(blind(sha256), { caller, sha256, expiresAt: settings.expiresAt })
  }
  return {
    find: (text, now) => {
      if (known.size === 0) return undefined
      const sha256 = Buffer.from(text, 'base64url')
      const found = known.get(blind(sha256))
      if (found === undefined || !timingSafeEqual(found.sha256, sha256)) return undefined
      if (now < found.expiresAt) return found.caller
      throw new BrokerError('invalid_token', 'The API key has expired.', { reason: 'expired' })
    },
  }
}
