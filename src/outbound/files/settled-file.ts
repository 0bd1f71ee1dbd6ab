import { setTimeout as sleep } from 'node:timers/promises'
import { readVersion } from './files.ts'

/** Milliseconds without a change after which a file counts as complete. */
const settledMs = 1_000
/** Milliseconds after which a file that changes all the time is given up, until the next change or poll. */
const giveUpMs = 20_000

/**
 * Reads a file once it is complete: it was not written for a second, or it is the same at both ends of a second. A
 * program that writes a file in place writes a beginning first, and the beginning of a policy can be a valid policy
 * without its denials. A file that was written earlier and then renamed is read at once.
 *
 * @throws Error as `readLimitedFile`, and if the file does not settle within 20 s
 */
export async function readSettledFile(path: string, maxBytes: number): Promise<string> {
  const deadline = performance.now() + giveUpMs
  let known: string | undefined
  for (;;) {
    const { text, stamp, writtenAt } = await readVersion(path, maxBytes)
    if (stamp !== undefined && (stamp === known || Date.now() - writtenAt >= settledMs)) return text
    if (performance.now() > deadline) throw new Error(`${path} is being written; replace it by renaming another file`)
    known = stamp
    await sleep(settledMs)
  }
}
