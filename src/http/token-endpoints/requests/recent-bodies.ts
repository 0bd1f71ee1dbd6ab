/** One body. */
interface Entry<T> {
  /** A character for each byte. */
  readonly text: string
  readonly value: T
}

/** A whole number of 31 bits. */
type HashOf = (bytes: Buffer) => number

/** At most this many bodies are kept. */
export const maxEntries = 16_384
/** Bodies with more bytes are not kept. */
export const maxLength = 1024
const offsetBasis = 0x811c9dc5
const prime = 16_777_619

/**
 * What recent bodies mean, by their bytes: all of them are compared, so that no body is taken for another one. In a map by
 * text, V8 would first look for its one copy of the text, which costs more than all of this. It is cleared when it is full,
 * which costs a hot body one reading, and a look-up half of that in a list by age. Of two bodies with the same hash, which a
 * caller can find, the later one replaces the other: that costs a reading, too.
 */
export class RecentBodies<T> {
  readonly #byHash = new Map<number, Entry<T>>()
  readonly #hashOf: HashOf

  constructor(hashOf: HashOf = fnv1a) {
    this.#hashOf = hashOf
  }

  /** What the body meant last time; `undefined` if it is not known. */
  find(bytes: Buffer): T | undefined {
    const entry = this.#byHash.get(this.#hashOf(bytes))
    return entry !== undefined && entry.text === bytes.toString('latin1') ? entry.value : undefined
  }

  /** Keeps a copy of the body, unless it is long. */
  add(bytes: Buffer, value: T): void {
    if (bytes.length > maxLength) return
    if (this.#byHash.size >= maxEntries) this.#byHash.clear()
    this.#byHash.set(this.#hashOf(bytes), { text: bytes.toString('latin1'), value })
  }
}

/** FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) of four bytes at a time, without its lowest bit. */
function fnv1a(bytes: Buffer): number {
  let hash = offsetBasis
  let n = 0
  for (; n + 3 < bytes.length; n += 4) {
    const four = at(bytes, n) | (at(bytes, n + 1) << 8) | (at(bytes, n + 2) << 16) | (at(bytes, n + 3) << 24)
    hash = Math.imul(hash ^ four, prime)
    hash ^= hash >>> 15
  }
  for (; n < bytes.length; n++) hash = Math.imul(hash ^ at(bytes, n), prime)
  return hash >>> 1
}

const at = (bytes: Buffer, n: number): number => bytes[n] ?? 0
