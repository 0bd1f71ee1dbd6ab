import { setTimeout as sleep } from 'node:timers/promises'
import { createTokenClient, type Observed } from './token-client.ts'

/** Requests tokens of one scope as one caller. */
export interface Client {
  readonly get: (url: string, tenant: string) => Promise<Observed>
  readonly close: () => void
}

/** @param authorization the caller's `Authorization` header */
export function createClient(authorization: string, scope: string): Client {
  const { request, close } = createTokenClient()
  return { close, get: (url, tenant) => request(url, authorization, { tenant, scope }) }
}

/** The pth percentile (0 to 100) of some values; NaN of none. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN
}

/** What a constant load observed. */
export interface LoadResult {
  readonly requests: number
  readonly failed: number
  /** Milliseconds of all requests. */
  readonly ms: readonly number[]
  /** Milliseconds of requests for keys that no replica had. */
  readonly coldMs: readonly number[]
  /** How many keys were requested for the first time. */
  readonly coldKeys: readonly string[]
}

/** A constant load on all replicas. */
export interface LoadOptions {
  readonly client: Client
  readonly urls: readonly string[]
  /** Keys that are requested all the time. */
  readonly hot: readonly string[]
  /** Keys that are requested one after the other, each by two replicas at once. */
  readonly cold: Iterator<string>
  /** Milliseconds between the requests of one replica for hot keys. */
  readonly pauseMs: number
  /** Milliseconds between two cold keys. */
  readonly coldPauseMs: number
}

/** Loads all replicas until `work` has ended. */
export async function loadDuring(options: LoadOptions, work: () => Promise<unknown>): Promise<LoadResult> {
  const { client, urls, hot, cold, pauseMs, coldPauseMs } = options
  const ending = new AbortController()
  const all: number[] = []
  const coldMs: number[] = []
  const coldKeys: string[] = []
  let failed = 0
  const get = async (url: string, tenant: string): Promise<number> => {
    const { status, ms } = await client.get(url, tenant).catch(() => ({ status: 0, ms: 0 }))
    all.push(ms)
    if (status !== 200) failed++
    return ms
  }
  const running = new Set<Promise<unknown>>()
  const start = (sent: Promise<unknown>): void => {
    running.add(sent)
    void sent.finally(() => running.delete(sent))
  }
  const requestHot = async (url: string, offset: number): Promise<void> => {
    for (let nth = offset; !ending.signal.aborted; nth++) {
      start(get(url, hot[nth % hot.length] ?? ''))
      await sleep(pauseMs)
    }
  }
  const requestCold = async (): Promise<void> => {
    for (let nth = 0; !ending.signal.aborted; nth++) {
      const { value: tenant, done } = cold.next()
      if (done) return
      coldKeys.push(tenant)
      for (const at of [nth, nth + 1]) {
        const url = urls[at % urls.length] ?? ''
        start(get(url, tenant).then(ms => coldMs.push(ms)))
      }
      await sleep(coldPauseMs)
    }
  }
  const loads = [...urls.map((url, offset) => requestHot(url, offset)), requestCold()]
  await work()
  ending.abort()
  await Promise.all(loads)
  await Promise.all(running)
  return { requests: all.length, failed, ms: all, coldMs, coldKeys }
}
