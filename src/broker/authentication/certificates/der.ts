/**
 * A reader of DER (ITU-T X.690) for the parts of a certificate that Node does not show. It is strict: what has two readings
 * is an error, since OpenSSL might have taken the other. The libraries for ASN.1 also read BER, in which a length may be
 * written in many ways or left out.
 */

/** One value. */
export interface DerValue {
  /** The identifier octet: class, form and number. */
  readonly tag: number
  readonly content: Buffer
}

/** Identifier octets of universal types, and of the context-specific ones that are used. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  sequence: 0x30,
  /** `[0]` and `[3]`, explicit. */
  context0: 0xa0,
  context3: 0xa3,
} as const

/**
 * Splits bytes into the values that they consist of.
 * @throws Error if the bytes are not a sequence of whole values
 */
export function valuesIn(bytes: Buffer): readonly DerValue[] {
  const values: DerValue[] = []
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at] ?? 0
    // Numbers from 31 on take more octets; no part of a certificate that is read has one.
    if ((tag & 0x1f) === 0x1f) throw notDer()
    const { start, end } = extentOf(bytes, at + 1)
    values.push({ tag, content: bytes.subarray(start, end) })
    at = end
  }
  return values
}

/**
 * The content of a value that must have a tag.
 * @throws Error if there is none, or it has another tag
 */
export function contentOf(value: DerValue | undefined, tag: number): Buffer {
  if (value?.tag !== tag) throw notDer()
  return value.content
}

/**
 * The content of the only value in bytes, which must have a tag.
 * @throws Error if there is none, another one too, or it has another tag
 */
export function onlyContentIn(bytes: Buffer, tag: number): Buffer {
  const [value, ...rest] = valuesIn(bytes)
  if (rest.length > 0) throw notDer()
  return contentOf(value, tag)
}

/** Where the content of a value is whose length begins at `at`: in one octet, or the fewest that can say it (§10.1). */
function extentOf(bytes: Buffer, at: number): { readonly start: number; readonly end: number } {
  const first = bytes[at] ?? 0x80
  const octets = first & 0x7f
  const isShort = first < 0x80
  if (!isShort && (octets === 0 || octets > 3 || at + 1 + octets > bytes.length)) throw notDer()
  const length = isShort ? first : bytes.readUIntBE(at + 1, octets)
  if (!isShort && length < (octets === 1 ? 0x80 : 256 ** (octets - 1))) throw notDer()
  const start = at + 1 + (isShort ? 0 : octets)
  if (start + length > bytes.length) throw notDer()
  return { start, end: start + length }
}

const notDer = () => new Error('the bytes are not DER')
