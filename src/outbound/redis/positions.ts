import type { RedisCommand } from './connection/client.ts'
import { epochName, sequenceName } from './names.ts'
import { maxEpochLength, type PurgeMark } from './sealing/sealed-token.ts'

const maxSequenceDigits = 15

/**
 * Reads at most so many bytes more than one of a value. Not GET: anyone who can write Redis could make it fill the memory. An
 * absent value is empty.
 */
export const beginningOf = (name: string, bytes: number): RedisCommand => ['GETRANGE', name, '0', String(bytes)]

/** The commands whose replies {@link markOf} reads. */
export const markCommands: readonly RedisCommand[] = [
  beginningOf(epochName, maxEpochLength),
  beginningOf(sequenceName, maxSequenceDigits),
]

/** A short text of the store; `undefined` if there is none. */
export const textOf = (reply: unknown): string | undefined =>
  Buffer.isBuffer(reply) && reply.length > 0 ? reply.toString('latin1') : undefined

/** The purges so far, as the store has them. Without an epoch it is empty. */
export const markOf = ([epoch, sequence]: readonly unknown[]): PurgeMark => ({
  epoch: textOf(epoch) ?? '',
  sequence: sequenceOf(sequence),
})

/** A sequence as the store has it; 0 if it has none. */
function sequenceOf(reply: unknown): number {
  const text = textOf(reply) ?? ''
  return text.length <= maxSequenceDigits && /^\d+$/.test(text) ? Number(text) : 0
}
