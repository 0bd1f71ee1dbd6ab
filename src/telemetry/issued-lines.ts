import { LRUCache } from 'lru-cache'
import type { Caller } from '../broker/authentication/authenticate.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { Events, RequestFacts, TokenFacts } from '../broker/events.ts'
import { callerFields, upstreamFields } from './audit-fields.ts'
import { timestamp, type Scrub } from './log.ts'
import type { LineSink } from './output.ts'

/** Writes the lines of tokens that were handed out: the one kind of line that every good request causes. */
export interface HandOuts {
  readonly issued: Events['issued']
  /** Writes what is held back. */
  readonly close: () => void
}

const summaryEveryMs = 60_000
const event = JSON.stringify({ event: 'token.issued', outcome: 'issued' }).slice(1, -1)

/**
 * Lines are put together from texts that were serialised before, by caller and rule, of which there are few: a line kept
 * for each grant and token would take more memory than many tokens do. What else is in a line is the broker's own words,
 * GUIDs, hashes and a network address, none of which needs escaping.
 */
class LineWriter {
  readonly #sink: LineSink
  readonly #scrub: Scrub
  /** Caller and rule, as JSON members. */
  readonly #whoByRule = new WeakMap<Caller, Map<string, string>>()

  constructor(sink: LineSink, scrub: Scrub) {
    this.#sink = sink
    this.#scrub = scrub
  }

  one(grant: Grant, token: TokenFacts, { requestId, endpoint, address }: RequestFacts, how: string): void {
    this.#write(
      `${this.#decision(grant, token)},"request_id":"${requestId}","endpoint":"${endpoint}",` +
        `"address":"${address}","cache":"${how}","msg":"token issued"}\n`,
    )
  }

  many(grant: Grant, token: TokenFacts, count: number, first: number, last: number): void {
    const [from, to] = [new Date(first).toISOString(), new Date(last).toISOString()]
    this.#write(
      `${this.#decision(grant, token)},"repeated":${count},"first":"${from}","last":"${to}",` +
        `"msg":"token issued repeatedly"}\n`,
    )
  }

  #write(members: string): void {
    this.#sink.write(this.#scrub(`{"level":"info"${timestamp()},${event},${members}`))
  }

  #decision(grant: Grant, token: TokenFacts): string {
    const { tenant, scope, application, policyVersion } = grant
    return (
      `${this.#who(grant)},"tenant":"${tenant}","scope":${JSON.stringify(scope)},` +
      `"application":${JSON.stringify(application)},"policy":"${policyVersion}","token":"${token.fingerprint}",` +
      `"upstream":${JSON.stringify(upstreamFields(token))}`
    )
  }

  #who({ caller, rule }: Grant): string {
    let byRule = this.#whoByRule.get(caller)
    if (!byRule) this.#whoByRule.set(caller, (byRule = new Map()))
    let who = byRule.get(rule)
    if (who === undefined) byRule.set(rule, (who = JSON.stringify({ caller: callerFields(caller), rule }).slice(1, -1)))
    return who
  }
}

/** One line for each hand-out. */
export function everyHandOut(sink: LineSink, scrub: Scrub): HandOuts {
  const lines = new LineWriter(sink, scrub)
  return {
    issued: (request, grant, token, how) => lines.one(grant, token, request, how),
    close: () => undefined,
  }
}

/** Hand-outs of one token to one caller under one rule. */
interface Repeats {
  readonly grant: Grant
  readonly token: TokenFacts
  /** Whether the first hand-out has its line. */
  isTold: boolean
  /** Since the last line. */
  count: number
  first: number
  last: number
}

const rememberedRepeats = 10_000

/** Remembers who was handed what: by the grant, which is the quick way, and by what the grant says. */
function createRepeats() {
  const ofGrant = new WeakMap<Grant, Repeats>()
  const ofCaller = new LRUCache<string, Repeats>({ max: rememberedRepeats })
  return (grant: Grant, token: TokenFacts): Repeats => {
    const quick = ofGrant.get(grant)
    if (quick?.token === token) return quick
    const { caller, rule, policyVersion } = grant
    const key = JSON.stringify([caller.id, callerFields(caller), rule, grant.key, policyVersion])
    const known = ofCaller.get(key)
    const repeats = known?.token === token ? known : { grant, token, isTold: false, count: 0, first: 0, last: 0 }
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
  const repeatsOf = createRepeats()
  const pending = new Set<Repeats>()
  const flush = (): void => {
    for (const repeats of pending) {
      lines.many(repeats.grant, repeats.token, repeats.count, repeats.first, repeats.last)
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
        lines.one(grant, token, request, how)
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
