import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJws, isObject, type Json } from '../emulator/jws.ts'

/** A tenant and a scope for which callers request tokens. */
export interface Key {
  /** A GUID. */
  readonly tenant: string
  readonly scope: string
}

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

interface Observed {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly how: string
  readonly body: Json
  readonly sentAt: number
  readonly answeredAt: number
}

const mostBroken = 20
/** The broker does not serve a token in the last tenth of its life. Tokens live for two seconds here. */
const notServedMs = 200

/** Makes every caller request tokens for random keys until it is stopped. `done` resolves when all have stopped. */
export function startLoad(options: LoadOptions): { readonly tally: Tally; readonly done: Promise<unknown> } {
  const tally: Tally = { requests: 0, cacheStatuses: new Map(), refused: 0, longestWait: 0, longestHit: 0, broken: [] }
  const judge = createJudge(tally, options.longestWaitMs)
  const agent = new Agent({ keepAlive: true })
  const run = async (authorization: string) => {
    while (!options.stopping.aborted) {
      const key = options.keys[Math.floor(Math.random() * options.keys.length)]
      if (key) judge(key, await requestToken(options.url, agent, authorization, key))
      await sleep(options.pauseMs)
    }
  }
  const done = Promise.all(options.callers.map(token => run(`Bearer ${token}`))).finally(() => agent.destroy())
  return { tally, done }
}

/** Checks every response against the promises, and against the tokens that were issued before its request was sent. */
function createJudge(tally: Tally, longestWaitMs: number) {
  const validUntil = new Map<Key, { readonly seenAt: number; readonly end: number }[]>()
  const complain = (what: string) => void (tally.broken.length < mostBroken && tally.broken.push(what))
  return (key: Key, answer: Observed): void => {
    const { status, how, sentAt, answeredAt, body } = answer
    const waited = answeredAt - sentAt
    tally.requests++
    tally.cacheStatuses.set(how, (tally.cacheStatuses.get(how) ?? 0) + 1)
    tally.longestWait = Math.max(tally.longestWait, waited)
    if (how.includes('hit')) tally.longestHit = Math.max(tally.longestHit, waited)
    if (waited > longestWaitMs) complain(`a caller waited ${waited} ms (${how})`)
    if (status === 200) {
      const wrong = problemOf(key, answer)
      if (wrong !== undefined) complain(wrong)
      const seen = (validUntil.get(key) ?? []).filter(({ end }) => end > answeredAt)
      validUntil.set(key, [...seen, { seenAt: answeredAt, end: Number(body['expires_on']) * 1000 - notServedMs }])
      return
    }
    tally.refused++
    if (status !== 503 || !(Number(answer.retryAfter) >= 1)) complain(`${status} with Retry-After ${answer.retryAfter}`)
    const valid = validUntil.get(key)?.find(({ seenAt, end }) => seenAt < sentAt && answeredAt < end)
    if (valid) complain(`${status} ${String(body['code'])} although a token is valid for ${valid.end - answeredAt} ms`)
  }
}

/** What is wrong with a token that was served; undefined if nothing is. */
function problemOf({ tenant }: Key, { body, sentAt }: Observed): string | undefined {
  const claims = decodeJws(String(body['access_token']))?.payload
  if (claims?.['tid'] !== tenant) return `a token of ${String(claims?.['tid'])} instead of ${tenant}`
  return Number(claims['exp']) * 1000 <= sentAt ? 'an expired token' : undefined
}

function requestToken(url: string, agent: Agent, authorization: string, key: Key): Promise<Observed> {
  const { promise, resolve, reject } = Promise.withResolvers<Observed>()
  const headers = { authorization, 'content-type': 'application/json' }
  const sentAt = Date.now()
  const sent = request(`${url}/tokens`, { method: 'POST', agent, headers }, response => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => (text += chunk))
    response.on('error', reject)
    response.on('end', () => {
      const { statusCode: status = 0, headers: got } = response
      const body: unknown = JSON.parse(text)
      const how = String(got['cache-status'] ?? status).replace(/^token-broker; |; ttl=\d+/g, '')
      const retryAfter = got['retry-after']
      resolve({ status, retryAfter, how, body: isObject(body) ? body : {}, sentAt, answeredAt: Date.now() })
    })
  })
  sent.on('error', reject)
  sent.end(JSON.stringify(key))
  return promise
}
