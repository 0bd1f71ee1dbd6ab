/**
 * The few DER encodings (ITU-T X.690) that an X.509 certificate needs. No library is used: the available ones need a
 * global `Reflect` polyfill or 100 ms to import, in every test process.
 */

/** Encodes a tag, a definite length and the content. */
export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body])
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  if (length < 0x100) return Buffer.from([0x81, length])
  return Buffer.from([0x82, length >> 8, length & 0xff])
}

/** SEQUENCE. */
export const sequence = (...content: readonly Uint8Array[]): Buffer => der(0x30, ...content)

/** SET. */
export const set = (...content: readonly Uint8Array[]): Buffer => der(0x31, ...content)

/** OCTET STRING. */
export const octets = (content: Uint8Array): Buffer => der(0x04, content)

/** BIT STRING; `unused` is the number of unused bits at its end, default 0. */
export const bits = (content: Uint8Array, unused = 0): Buffer => der(0x03, Buffer.from([unused]), content)

/** BOOLEAN true. */
export const yes: Buffer = der(0x01, Buffer.from([0xff]))

/** UTF8String. */
export const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text))

/**
 * A non-negative INTEGER from its big-endian bytes. DER requires the shortest form (X.690 §8.3.2): OpenSSL silently
 * ignores a certificate authority whose serial number has an unnecessary leading zero.
 */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex(byte => byte !== 0)
  const significant = first < 0 ? Uint8Array.of(0) : bytes.subarray(first)
  return der(0x02, (significant[0] ?? 0) & 0x80 ? Uint8Array.of(0, ...significant) : significant)
}

/** UTCTime with a resolution of one second, valid until 2049 (RFC 5280 §4.1.2.5.1). */
export function utcTime(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replaceAll(/\D/g, '')
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`))
}

/** OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(arc: number): number[] {
  const bytes = [arc & 0x7f]
  for (let left = arc >> 7; left > 0; left >>= 7) bytes.unshift((left & 0x7f) | 0x80)
  return bytes
}
