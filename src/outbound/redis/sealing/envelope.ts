import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { KeyRing } from './key-ring.ts'

// The format of a value in Redis: version, kind, length of the kid, kid, nonce, then what AES-256-GCM makes of the
// content, with the tag last. Everything before the ciphertext is authenticated with it, and so is the place where the
// value belongs. Only the kid can be read without a key.

/** What a value is. A value of one kind never opens as another. */
export const kinds = { token: 1, failure: 2, purge: 3, confirmation: 4, heartbeat: 5 } as const
/** One of {@link kinds}. */
export type Kind = (typeof kinds)[keyof typeof kinds]

/** Bytes of the largest value. Nothing larger is written, and nothing larger is read. */
export const maxValueBytes = 65_536

const version = 1
const cipher = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
const fixedBytes = 3

/**
 * Encrypts under the first key of the ring. The nonce is random: 96 bits are enough for 2^32 values under one key (NIST
 * SP 800-38D §8.3), which are 130 values a second for a year.
 *
 * @param place where the value belongs; only {@link open} with the same place returns its content
 * @returns `undefined` if the value would be larger than 64 KiB
 */
export function seal(ring: KeyRing, kind: Kind, place: string, content: string): Buffer | undefined {
  const [{ kid, sealing }] = ring.keys
  const nonce = randomBytes(nonceBytes)
  const header = Buffer.concat([Buffer.from([version, kind, kid.length]), Buffer.from(kid, 'latin1'), nonce])
  const encryption = createCipheriv(cipher, sealing, nonce, { authTagLength: tagBytes })
  encryption.setAAD(Buffer.concat([header, Buffer.from(place)]))
  const value = Buffer.concat([header, encryption.update(content, 'utf8'), encryption.final(), encryption.getAuthTag()])
  return value.length > maxValueBytes ? undefined : value
}

/**
 * The content that {@link seal} encrypted with the same kind and place. `undefined` for all other bytes: of another version,
 * kind or place, under a key that is not in the ring, changed, cut, or larger than 64 KiB. Never throws.
 */
export function open(ring: KeyRing, kind: Kind, place: string, value: Uint8Array): string | undefined {
  if (value.length < fixedBytes || value.length > maxValueBytes) return undefined
  const [version_, kind_, kidLength = 0] = value
  const headerBytes = fixedBytes + kidLength + nonceBytes
  if (version_ !== version || kind_ !== kind || value.length < headerBytes + tagBytes) return undefined
  const kid = Buffer.from(value.subarray(fixedBytes, fixedBytes + kidLength)).toString('latin1')
  const key = ring.keys.find(each => each.kid === kid)
  if (!key) return undefined
  const header = value.subarray(0, headerBytes)
  const decryption = createDecipheriv(cipher, key.sealing, header.subarray(headerBytes - nonceBytes), {
    authTagLength: tagBytes,
  })
  decryption.setAAD(Buffer.concat([header, Buffer.from(place)]))
  decryption.setAuthTag(value.subarray(-tagBytes))
  try {
    const content = decryption.update(value.subarray(headerBytes, -tagBytes))
    return Buffer.concat([content, decryption.final()]).toString('utf8')
  } catch {
    // The tag is wrong: some other key, place or content.
    return undefined
  }
}
