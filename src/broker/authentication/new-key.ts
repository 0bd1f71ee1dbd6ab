import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** What keys of the broker begin with, so that people and scanners recognise them. */
const prefix = 'tb_'
const checked = /^tb_[A-Za-z0-9_-]{43}(?=[A-Za-z0-9_-]{6}$)/

/**
 * An API key of 256 random bits: `tb_`, 43 characters of base64url (RFC 4648 §5), and 6 more that are the CRC-32 of what
 * precedes them, so that whoever finds one knows at once that it is one. `tb_[A-Za-z0-9_-]{49}` matches it.
 *
 * @param random 32 bytes
 */
export function encodeKey(random: Buffer): string {
  const body = `${prefix}${random.toString('base64url')}`
  return `${body}${checksum(body)}`
}

/** Whether a text is a key of {@link encodeKey}, as a scanner for leaked keys asks. The broker does not: it has the hash. */
export function isKey(text: string): boolean {
  const [body] = checked.exec(text) ?? []
  return body !== undefined && text === `${body}${checksum(body)}`
}

/** What the policy keeps of a key. */
export const hashKey = (key: string): string => hash('sha256', key, 'hex')

function checksum(body: string): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64url')
}
