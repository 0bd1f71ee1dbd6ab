import { addressGroupOf } from '../broker/authentication/signature-limiter.ts'
import type { Events } from '../broker/events.ts'
import type { RequestFacts } from '../broker/lib/request-facts.ts'
import type { BrokerError, UnverifiedFacts } from '../errors.ts'
import { createLru } from '../broker/lib/lru.ts'

/** Writes the `caller.refused` lines, which anyone can cause without a credential. */
export interface RefusedCallers {
  readonly unauthenticated: Events['unauthenticated']
  /** Writes the pending repetitions, and stops the timer. */
  readonly close: () => void
}

/** What is kept of the error: its cause may be large. */
export type RefusalFacts = Pick<BrokerError, 'code' | 'reason' | 'status' | 'retryAfter'> & {
  readonly unverified: UnverifiedFacts | undefined
}

/** Repetitions since the last line. */
export interface RefusedRepeats {
  /** The last request of them. */
  readonly request: RequestFacts
  readonly error: RefusalFacts
  readonly count: number
  /** Milliseconds since 1970. */
  readonly first: number
  readonly last: number
}

/** How the lines are written. */
export interface RefusedLines {
  readonly one: (request: RequestFacts, error: BrokerError) => void
  readonly many: (repeats: RefusedRepeats) => void
}

const summaryEveryMs = 60_000
const maxEntries = 10_000

interface Entry {
  repeats: RefusedRepeats | undefined
  /** Whether a whole minute passed without a repetition. */
  isIdle: boolean
}

/**
 * One line for the first request of an address that is refused for a reason, and one a minute for its repetitions. IPv6
 * addresses count by their network of 64 bits, since one sender has all of them. Counts are exact: an entry that is
 * evicted is written first. An address that was silent for a minute or two gets a first line again.
 *
 * @param now milliseconds since 1970
 */
export function summarizeRefusals(lines: RefusedLines, now: () => number): RefusedCallers {
  const write = (entry: Entry): void => {
    if (entry.repeats === undefined) return
    lines.many(entry.repeats)
    entry.repeats = undefined
  }
  const entries = createLru<string, Entry>(maxEntries, write)
  const flush = (): void => {
    for (const [key, entry] of entries.entries()) {
      if (entry.repeats !== undefined) entry.isIdle = false
      else if (entry.isIdle) entries.delete(key)
      else entry.isIdle = true
      write(entry)
    }
  }
  const timer = setInterval(flush, summaryEveryMs).unref()
  return {
    unauthenticated: (request, error) => {
      const { code, reason, status, retryAfter, parts } = error
      const key = `${addressGroupOf(request.address)} ${code} ${reason}`
      const entry = entries.get(key)
      if (entry === undefined) {
        entries.set(key, { repeats: undefined, isIdle: false })
        lines.one(request, error)
        return
      }
      const at = now()
      const { count = 0, first = at } = entry.repeats ?? {}
      entry.repeats = {
        request,
        error: { code, reason, status, retryAfter, unverified: parts.unverified },
        count: count + 1,
        first,
        last: at,
      }
    },
    close: () => {
      clearInterval(timer)
      flush()
    },
  }
}
