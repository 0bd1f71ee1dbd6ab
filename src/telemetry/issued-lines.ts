import type { Caller } from '../broker/authentication/authenticate.ts'
import type { Grant } from '../broker/authorization/authorize.ts'
import type { Events, TokenFacts } from '../broker/events.ts'
import type { RequestFacts } from '../broker/lib/request-facts.ts'
import { type AuditLine, callerFields, upstreamFields } from './audit-fields.ts'
import { escapeControls } from '../broker/lib/text/quoted.ts'
import { timestamp, type Scrub } from './log.ts'
import type { LineSink } from './output.ts'
import { createLru } from '../broker/lib/lru.ts'

/** Writes the `token.issued` lines, which every successful request causes. */
export interface IssuanceLog {
  readonly issued: Events['issued']
  /** Writes the pending repetitions, and stops the timer. */
  readonly close: () => void
}

const summaryEveryMs = 60_000
const issued: AuditLine & { readonly outcome: 'issued' } = { event: 'token.issued', outcome: 'issued' }
const event = JSON.stringify(issued).slice(1, -1)

/** What the lines of one grant and token have in common, scrubbed. It does not keep the token itself in memory. */
interface Decision extends Pick<TokenFacts, 'fingerprint' | 'traceId'> {
  readonly text: string
}

/** The largest number of grants whose {@link Decision} is cached. A text for every grant would take more memory than its token. */
const maxDecisions = 4096

/**
 * Builds lines from text that was serialised once: what does not change from one line of a grant and token to the next, while
 * they are among the most requested, and the caller and rule, of which there are few. The rest of a line is constants,
 * hexadecimal ids and a network address, none of which needs escaping or can be a credential.
 */
class LineWriter {
  readonly #sink: LineSink
  readonly #scrub: Scrub
  readonly #decisions = new Map<Grant, Decision>()
  /** Caller and rule, as JSON fields. */
  readonly #callerByRule = new WeakMap<Caller, Map<string, string>>()
  /** How the last line ended: consecutive requests often come by the same proxy. A text of fewer parts is written faster. */
  #lastEnding = { endpoint: '', address: '', how: '', text: '' }

  constructor(sink: LineSink, scrub: Scrub) {
    this.#sink = sink
    this.#scrub = scrub
  }

  one(grant: Grant, token: TokenFacts, request: RequestFacts, how: string): void {
    const { requestId, traceId } = request
    const trace = traceId === undefined ? '' : `"trace_id":"${traceId}",`
    const before = start() + this.#decision(grant, token)
    this.#sink.write(`${before},"request_id":"${requestId}",${trace}${this.#ending(request, how)}`)
  }

  many(grant: Grant, token: TokenFacts, count: number, first: number, last: number): void {
    const [from, to] = [new Date(first).toISOString(), new Date(last).toISOString()]
    this.#sink.write(
      `${start()}${this.#decision(grant, token)},"repeated":${count},"first":"${from}","last":"${to}",` +
        `"msg":"token issued repeatedly"}\n`,
    )
  }

  #ending({ endpoint, address }: RequestFacts, how: string): string {
    const last = this.#lastEnding
    if (last.endpoint === endpoint && last.address === address && last.how === how) return last.text
    const text = `"endpoint":"${endpoint}","address":"${address}","cache":"${how}","msg":"token issued"}\n`
    this.#lastEnding = { endpoint, address, how, text }
    return text
  }

  #decision(grant: Grant, token: TokenFacts): string {
    const { fingerprint, traceId } = token
    const known = this.#decisions.get(grant)
    if (known?.fingerprint === fingerprint && known.traceId === traceId) return known.text
    const { tenant, scope, application, agent, policyVersion } = grant
    const text = this.#scrub(
      `,${event},${this.#callerAndRule(grant)},"tenant":"${tenant}","scope":${JSON.stringify(scope)},` +
        `"application":${JSON.stringify(application)},${agent === undefined ? '' : `"agent":${JSON.stringify(agent)},`}"policy":"${policyVersion}","token":"${fingerprint}",` +
        `"upstream":${JSON.stringify(upstreamFields(token))}`,
    )
    if (known === undefined && this.#decisions.size >= maxDecisions) this.#decisions.clear()
    this.#decisions.set(grant, { fingerprint, traceId, text })
    return text
  }

  #callerAndRule({ caller, rule }: Grant): string {
    let byRule = this.#callerByRule.get(caller)
    if (!byRule) this.#callerByRule.set(caller, (byRule = new Map()))
    const known = byRule.get(rule)
    if (known !== undefined) return known
    const fields = escapeControls(JSON.stringify({ caller: callerFields(caller, this.#scrub), rule }).slice(1, -1))
    byRule.set(rule, fields)
    return fields
  }
}

const start = (): string => `{"level":"info"${timestamp()}`

/** One line for each token issued. */
export function everyIssuance(sink: LineSink, scrub: Scrub): IssuanceLog {
  const lines = new LineWriter(sink, scrub)
  return {
    issued: (request, grant, token, how) => lines.one(grant, token, request, how),
    close: () => undefined,
  }
}

/** How often one token was issued to one caller under one rule. */
interface Repeats {
  readonly grant: Grant
  readonly token: TokenFacts
  /** Whether the first one has its line. */
  isWritten: boolean
  /** Repetitions since the last line. `first` and `last` are theirs, in milliseconds since 1970. */
  count: number
  first: number
  last: number
}

const maxRepeats = 10_000

/** Finds the count for a grant and token: first by the grant object, which is fast, then by the grant's content. */
function createRepeats(scrub: Scrub) {
  const byGrant = new WeakMap<Grant, Repeats>()
  const byContent = createLru<string, Repeats>(maxRepeats)
  return (grant: Grant, token: TokenFacts): Repeats => {
    const quick = byGrant.get(grant)
    if (quick?.token === token) return quick
    const { caller, rule, policyVersion } = grant
    const key = JSON.stringify([caller.id, callerFields(caller, scrub), rule, grant.key, policyVersion])
    const known = byContent.get(key)
    const repeats = known?.token === token ? known : { grant, token, isWritten: false, count: 0, first: 0, last: 0 }
    byContent.set(key, repeats)
    byGrant.set(grant, repeats)
    return repeats
  }
}

/**
 * One line for the first token issued to a (caller, rule, key, token), and one a minute for its repetitions. Callers are
 * distinguished by their identity, not by their credential: a caller with a new credential for each request does not get a
 * line for each. Counts are exact: an evicted entry was written already, and its next token gets a first line again.
 */
export function summarizedIssuance(sink: LineSink, scrub: Scrub, now: () => number): IssuanceLog {
  const lines = new LineWriter(sink, scrub)
  const repeatsOf = createRepeats(scrub)
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
      if (!repeats.isWritten) {
        repeats.isWritten = true
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
