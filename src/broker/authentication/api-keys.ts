import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { BrokerError } from '../../errors.ts'
import type { ApiKeyFacts } from '../policy/caller-facts.ts'
import type { ApiKeySettings, Policy } from '../policy/model.ts'

/** A caller with an API key. Only this file creates one, for a key whose hash is in the policy. */
class AuthenticatedKey implements ApiKeyFacts {
  readonly kind = 'apiKey'
  readonly id: string
  readonly key: string
  readonly expires: string
  readonly policy: Policy
  /** Makes the type nominal: an object with the same fields is not a caller. */
  protected readonly verified = true

  constructor({ name, expires }: ApiKeySettings, policy: Policy) {
    this.id = `apiKey ${name}`
    this.key = name
    this.expires = expires
    this.policy = policy
    Object.freeze(this)
  }
}

/** A caller with a verified API key. Only {@link createApiKeys} creates one. */
export type ApiKeyCaller = AuthenticatedKey

/** A key of the policy, with the caller it authenticates. */
interface StoredKey {
  readonly caller: ApiKeyCaller
  readonly sha256: Buffer
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** The API keys of one version of the policy. */
export interface ApiKeys {
  /**
   * Returns the caller whose key has this SHA-256, or `undefined` if the policy has no key with it.
   *
   * @param sha256 in base64url
   * @param now milliseconds since 1970
   * @throws BrokerError `invalid_token` if the key has expired
   */
  readonly find: (sha256: string, now: number) => ApiKeyCaller | undefined
}

/**
 * Looks up the API keys of a policy by their hash. The index is keyed with an HMAC under a random secret, so that the time
 * of a look-up reveals nothing about the stored hashes and does not grow with their number. The hash that is found is
 * compared once more, in constant time.
 */
export function createApiKeys(policy: Policy): ApiKeys {
  const secret = randomBytes(32)
  const blind = (sha256: Buffer): string => createHmac('sha256', secret).update(sha256).digest('base64url')
  const stored = new Map<string, StoredKey>()
  for (const settings of policy.apiKeys) {
    const sha256 = Buffer.from(settings.sha256, 'hex')
    const caller = new AuthenticatedKey(settings, policy)
    stored.set(blind(sha256), { caller, sha256, expiresAt: settings.expiresAt })
  }
  return {
    find: (text, now) => {
      if (stored.size === 0) return undefined
      const sha256 = Buffer.from(text, 'base64url')
      const found = stored.get(blind(sha256))
      if (found === undefined || !timingSafeEqual(found.sha256, sha256)) return undefined
      if (now < found.expiresAt) return found.caller
      throw new BrokerError('invalid_token', 'The API key has expired.', { reason: 'expired' })
    },
  }
}

/** The prefix of the broker's keys, by which people and scanners recognise them. */
const prefix = 'tb_'
const keyWithChecksum = /^tb_[A-Za-z0-9_-]{43}(?=[A-Za-z0-9_-]{6}$)/

/**
 * Creates the text of an API key: `tb_`, 43 characters of base64url (RFC 4648 §5) with 256 random bits, and 6 more with the
 * CRC-32 of what precedes them. The checksum lets a scanner distinguish a key from any other text, without the policy.
 * `tb_[A-Za-z0-9_-]{49}` matches a key.
 *
 * @param random 32 bytes
 */
export function encodeKey(random: Buffer): string {
  const body = `${prefix}${random.toString('base64url')}`
  return `${body}${checksum(body)}`
}

/**
 * Whether a text has the form and the checksum of {@link encodeKey}: the check of a scanner for leaked keys. The broker
 * itself accepts any credential whose hash is in the policy.
 */
export function isKey(text: string): boolean {
  const [body] = keyWithChecksum.exec(text) ?? []
  return body !== undefined && text === `${body}${checksum(body)}`
}

/** The hash of a key that the policy stores: SHA-256 in lower-case hex. */
export const hashKey = (key: string): string => hash('sha256', key, 'hex')

function checksum(body: string): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64url')
}
