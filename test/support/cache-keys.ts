import { randomBytes } from 'node:crypto'
import { parseKeyRing, type KeyRing } from '../../src/outbound/redis/sealing/key-ring.ts'

/** A line of a key ring with a new random key. */
export const cacheKeyLine = (kid: string): string => `${kid}:${randomBytes(32).toString('base64')}`

/** A ring of these lines, newest first. */
export const ringOf = (...lines: readonly string[]): KeyRing => parseKeyRing(lines.join('\n'))
