import { setTimeout as sleep } from 'node:timers/promises'
import { createTokenClient, type Key, type Observed } from '../bench/token-client.ts'
import { decodeJws } from '../emulator/jws.ts'

/** What the load has observed. Times are in milliseconds. */
export interface Tally {
  requests: number
  /** The number of responses by `Cache-Status`, without its numbers, or by status if there is none. */
  readonly cacheStatuses: Map<string, number>
  /** The number of responses without a token. */
  refused: number
  longestWait: number
  longestHit: number
  /** Descriptions of broken promises, at most 20. */
  readonly broken: string[]
}

/** The load: who requests which keys, and how often. */
export interface LoadOptions {
  /** Without a trailing slash. */
  readonly url: string
  /** One bearer token for each caller. */
  readonly callers: readonly string[]
  readonly keys: readonly Key[]
  /** Milliseconds that a caller pauses after a response. */
  readonly pauseMs: number
  /** The longest wait allowed, in milliseconds, including the delay of a busy machine. */
  readonly longestWaitMs: number
  readonly stopping: AbortSignal
}

const mostBroken = 20
/** The broker does not serve a token in the last tenth of its life. Tokens live for two seconds here. */
const notServedMs = 200

/** Makes every caller request tokens for random keys until it is stopped. `done` resolves when all have stopped. */
export function startLoad(options: LoadOptions): { readonly tally: Tally; readonly done: Promise<unknown> } {
  const tally: Tally = { requests: 0, cacheStatuses: new Map(), refused: 0, longestWait: 0, longestHit: 0, broken: [] }
  const judge = createJudge(tally, options.longestWaitMs)
  const client = createTokenClient()
  const run = async (authorization: string) => {
    while (!options.stopping.aborted) {
      const key = options.keys[Math.floor(Math.random() * options.keys.length)]
      if (key) judge(key, await client.request(options.url, authorization, key))
      await sleep(options.pauseMs)
    }
  }
  const done = Promise.all(options.callers.map(token => run(`Bearer ${token}`))).finally(() => client.close())
  return { tally, done }
}

/** Checks every response against the promises, and against the tokens that were issued before its request was sent. */
function createJudge(tally: Tally, longestWaitMs: number) {
  const validUntil = new Map<Key, { readonly seenAt: number; readonly end: number }[]>()
  const complain = (what: string) => void (tally.broken.length < mostBroken && tally.broken.push(what))
  return (key: Key, observed: Observed): void => {
    const { status, how, sentAt, receivedAt, body } = observed
    const waited = receivedAt - sentAt
    tally.requests++
    tally.cacheStatuses.set(how, (tally.cacheStatuses.get(how) ?? 0) + 1)
    tally.longestWait = Math.max(tally.longestWait, waited)
    if (how.includes('hit')) tally.longestHit = Math.max(tally.longestHit, waited)
    if (waited > longestWaitMs) complain(`a caller waited ${waited} ms (${how})`)
    if (status === 200) {
      const wrong = problemOf(key, observed)
      if (wrong !== undefined) complain(wrong)
      const seen = (validUntil.get(key) ?? []).filter(({ end }) => end > receivedAt)
      validUntil.set(key, [...seen, { seenAt: receivedAt, end: Number(body['expires_on']) * 1000 - notServedMs }])
      return
    }
    tally.refused++
    if (status !== 503 || !(Number(observed.retryAfter) >= 1))
      complain(`${status} with Retry-After ${observed.retryAfter}`)
    const valid = validUntil.get(key)?.find(({ seenAt, end }) => seenAt < sentAt && receivedAt < end)
    if (valid) complain(`${status} ${String(body['code'])} although a token is valid for ${valid.end - receivedAt} ms`)
  }
}

/** What is wrong with a token that was served; undefined if nothing is. */
function problemOf({ tenant }: Key, { body, sentAt }: Observed): string | undefined {
  const claims = decodeJws(String(body['access_token']))?.payload
  if (claims?.['tid'] !== tenant) return `a token of ${String(claims?.['tid'])} instead of ${tenant}`
  return Number(claims['exp']) * 1000 <= sentAt ? 'an expired token' : undefined
}
