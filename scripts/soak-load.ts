import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJws, isObject, type Json } from '../emulator/jws.ts'

/** One key that is asked for. */
export interface Key {
  /** A GUID. */
  readonly tenant: string
  readonly scope: string
}

/** What constant load has seen. Times in milliseconds. */
export interface Tally {
  requests: number
  /** Answers by their `Cache-Status`, without its numbers. */
  readonly hows: Map<string, number>
  /** Refused while no token of the key was known to be valid. */
  refused: number
  longestWait: number
  longestHit: number
  /** Promises that were not kept, in words. */
  readonly broken: string[]
}

export interface LoadOptions {
  /** Without a trailing slash. */
  readonly url: string
  /** One bearer token for each caller. */
  readonly callers: readonly string[]
  readonly keys: readonly Key[]
  /** Milliseconds that a caller pauses after an answer. */
  readonly pauseMs: number
  /** Milliseconds that nobody may wait longer than, what a busy machine adds included. */
  readonly longestWaitMs: number
  readonly stopping: AbortSignal
}

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly how: string
  readonly body: Json
  readonly sentAt: number
  readonly answeredAt: number
}

const mostBroken = 20
/** The broker hands out no token for the last tenth of its life: of two seconds at most. */
const notServedMs = 200

/** Lets every caller ask for one random key after the other until it is stopped; resolves to what they saw. */
export function startLoad(options: LoadOptions): { readonly tally: Tally; readonly done: Promise<unknown> } {
  const tally: Tally = { requests: 0, hows: new Map(), refused: 0, longestWait: 0, longestHit: 0, broken: [] }
  const judge = createJudge(tally, options.longestWaitMs)
  const agent = new Agent({ keepAlive: true })
  const run = async (authorization: string) => {
    while (!options.stopping.aborted) {
      const key = options.keys[Math.floor(Math.random() * options.keys.length)]
      if (key) judge(key, await ask(options.url, agent, authorization, key))
      await sleep(options.pauseMs)
    }
  }
  const done = Promise.all(options.callers.map(token => run(`Bearer ${token}`))).finally(() => agent.destroy())
  return { tally, done }
}

/** Compares every answer with what is promised, and with the tokens that were seen before its request was sent. */
function createJudge(tally: Tally, longestWaitMs: number) {
  const validUntil = new Map<Key, { readonly seenAt: number; readonly end: number }[]>()
  const complain = (what: string) => void (tally.broken.length < mostBroken && tally.broken.push(what))
  return (key: Key, answer: Answer): void => {
    const { status, how, sentAt, answeredAt, body } = answer
    const waited = answeredAt - sentAt
    tally.requests++
    tally.hows.set(how, (tally.hows.get(how) ?? 0) + 1)
    tally.longestWait = Math.max(tally.longestWait, waited)
    if (how.includes('hit')) tally.longestHit = Math.max(tally.longestHit, waited)
    if (waited > longestWaitMs) complain(`somebody waited ${waited} ms (${how})`)
    if (status === 200) {
      const wrong = wrongWith(key, answer)
      if (wrong !== undefined) complain(wrong)
      const seen = (validUntil.get(key) ?? []).filter(({ end }) => end > answeredAt)
      validUntil.set(key, [...seen, { seenAt: answeredAt, end: Number(body['expires_on']) * 1000 - notServedMs }])
      return
    }
    tally.refused++
    if (status !== 503 || !(Number(answer.retryAfter) >= 1)) complain(`${status} with Retry-After ${answer.retryAfter}`)
    const held = validUntil.get(key)?.find(({ seenAt, end }) => seenAt < sentAt && answeredAt < end)
    if (held) complain(`${status} ${String(body['code'])} with ${held.end - answeredAt} ms left of a token`)
  }
}

/** What is wrong with a token that was handed out. */
function wrongWith({ tenant }: Key, { body, sentAt }: Answer): string | undefined {
  const claims = decodeJws(String(body['access_token']))?.payload
  if (claims?.['tid'] !== tenant) return `the token of ${String(claims?.['tid'])} for ${tenant}`
  return Number(claims['exp']) * 1000 <= sentAt ? 'a token that had ended' : undefined
}

function ask(url: string, agent: Agent, authorization: string, key: Key): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
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
