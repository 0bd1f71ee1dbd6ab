import { LRUCache } from 'lru-cache'
import type { Grant } from '../broker/policy.ts'
import type { Events, RequestFacts, TokenFacts } from '../broker/types.ts'
import { callerFields, grantFields, upstreamFields } from './audit-fields.ts'
import { fingerprint } from '../broker/fingerprint.ts'
import { timestamp, type Scrub } from './log.ts'
import type { LineSink } from './output.ts'

/** Writes the lines of tokens that were handed out: the one kind of line that every good request causes. */
export interface HandOuts {
  readonly issued: Events['issued']
  /** Writes what is held back. */
  readonly close: () => void
}

const summaryEveryMs = 60_000

/**
 * What a grant and a token say in every line is serialised and scrubbed once, for as long as the token lives. The rest
 * of a line is made of the broker's own words and a network address, none of which needs escaping.
 */
class LineWriter {
  readonly #sink: LineSink
  readonly #scrub: Scrub

  constructor(sink: LineSink, scrub: Scrub) {
    this.#sink = sink
    this.#scrub = scrub
  }

  /** The members that stay the same, as JSON text without braces. */
  prepare(grant: Grant, token: TokenFacts): string {
    const members = {
      event: 'token.issued',
      outcome: 'issued',
      caller: callerFields(grant.caller),
      ...grantFields(grant),
      token: fingerprint(token.token),
      upstream: upstreamFields(token),
    }
    return this.#scrub(JSON.stringify(members).slice(1, -1))
  }

  one(prepared: string, { requestId, endpoint, address }: RequestFacts, how: string): void {
    this.#sink.write(
      `{"level":"info"${timestamp()},${prepared},"request_id":"${requestId}","endpoint":"${endpoint}",` +
        `"address":"${address}","cache":"${how}","msg":"token issued"}\n`,
    )
  }

  many(prepared: string, count: number, first: number, last: number): void {
    const [from, to] = [new Date(first).toISOString(), new Date(last).toISOString()]
    this.#sink.write(
      `{"level":"info"${timestamp()},${prepared},"repeated":${count},"first":"${from}","last":"${to}",` +
        `"msg":"token issued repeatedly"}\n`,
    )
  }
}

/** One line for each hand-out. */
export function everyHandOut(sink: LineSink, scrub: Scrub): HandOuts {
  const lines = new LineWriter(sink, scrub)
  const known = new WeakMap<Grant, { readonly token: TokenFacts; readonly prepared: string }>()
  return {
    issued: (request, grant, token, how) => {
      let line = known.get(grant)
      if (line?.token !== token) {
        line = { token, prepared: lines.prepare(grant, token) }
        known.set(grant, line)
      }
      lines.one(line.prepared, request, how)
    },
    close: () => undefined,
  }
}

/** Hand-outs of one token to one caller under one rule. */
interface Repeats {
  readonly token: TokenFacts
  readonly prepared: string
  /** Whether the first hand-out has its line. */
  isTold: boolean
  /** Since the last line. */
  count: number
  first: number
  last: number
}

const rememberedRepeats = 10_000

/** Remembers who was handed what: by the grant, which is the quick way, and by what the grant says. */
function createRepeats(prepare: (grant: Grant, token: TokenFacts) => string) {
  const ofGrant = new WeakMap<Grant, Repeats>()
  const ofCaller = new LRUCache<string, Repeats>({ max: rememberedRepeats })
  return (grant: Grant, token: TokenFacts): Repeats => {
    const quick = ofGrant.get(grant)
    if (quick?.token === token) return quick
    const { caller, rule, policyVersion } = grant
    const key = JSON.stringify([caller.id, callerFields(caller), rule, grant.key, policyVersion])
    const known = ofCaller.get(key)
    const repeats =
      known?.token === token
        ? known
        : { token, prepared: prepare(grant, token), isTold: false, count: 0, first: 0, last: 0 }
    ofCaller.set(key, repeats)
    ofGrant.set(grant, repeats)
    return repeats
  }
}

/**
 * One line for the first hand-out of a (caller, rule, key, token), and one a minute for its repeats. A caller is who it
 * is, whatever token it comes with: one that fetches a new token for each request gets no line for each. Counts are
 * exact: what is forgotten was told, and is told as a first one again.
 */
export function summarizedHandOuts(sink: LineSink, scrub: Scrub, now: () => number): HandOuts {
  const lines = new LineWriter(sink, scrub)
  const repeatsOf = createRepeats((grant, token) => lines.prepare(grant, token))
  const pending = new Set<Repeats>()
  const flush = (): void => {
    for (const repeats of pending) {
      lines.many(repeats.prepared, repeats.count, repeats.first, repeats.last)
      repeats.count = 0
    }
    pending.clear()
  }
  const timer = setInterval(flush, summaryEveryMs).unref()
  return {
    issued: (request, grant, token, how) => {
      const repeats = repeatsOf(grant, token)
      if (!repeats.isTold) {
        repeats.isTold = true
        lines.one(repeats.prepared, request, how)
        return
      }
      repeats.last = now()
      if (repeats.count++ > 0) return
      repeats.first = repeats.last
      pending.add(repeats)
    },
    close: () => {
      clearInterval(timer)
      flush()
    },
  }
}
