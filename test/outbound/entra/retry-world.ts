import type { IssuedToken, TokenSource } from '../../../src/broker/events.ts'
import { createCircuit } from '../../../src/outbound/entra/circuit-breaker.ts'
import type { Wait } from '../../../src/broker/lib/clock.ts'
import { withRetries, type RetryOptions } from '../../../src/outbound/entra/retry.ts'
import { grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { failure } from './circuit-world.ts'

const settled = () => new Promise(resolve => setImmediate(resolve))
export const token: IssuedToken = { token: 'token', expiresIn: 3600 }
export const serverError = (retryAfter?: number) => failure('upstream_unavailable', 'server_error', retryAfter)

/** Time that passes only when a test says so: timers go off in their order, each at its own moment. */
export function movableTime() {
  const clock = movableClock()
  const timers = new Set<{ readonly at: number; readonly due: () => void }>()
  const wait: Wait = (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = { at: clock.monotonic() + ms, due: resolve }
      timers.add(timer)
      signal.addEventListener('abort', () => {
        timers.delete(timer)
        reject(new Error('aborted'))
      })
    })
  const pass = async (ms: number) => {
    await settled()
    const end = clock.monotonic() + ms
    for (;;) {
      const [next] = [...timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      timers.delete(next)
      clock.advance(next.at - clock.monotonic())
      next.due()
      await settled()
    }
    clock.advance(end - clock.monotonic())
    await settled()
  }
  return { clock, wait, pass, timers }
}

export type Result = 'token' | 'hangs' | Error

/** A source that gives these results in order, and hangs from then on. Each takes `latency` milliseconds. */
export function retryWorld(results: readonly Result[], options: Partial<RetryOptions> & { latency?: number } = {}) {
  const time = movableTime()
  const { clock, wait } = time
  const circuit = createCircuit({ clock })
  const attemptedAt: number[] = []
  const signals: AbortSignal[] = []
  const outer = new AbortController()
  const start = clock.monotonic()
  const source: TokenSource = async (_, signal) => {
    const result = results[attemptedAt.length] ?? 'hangs'
    attemptedAt.push(clock.monotonic() - start)
    signals.push(signal)
    if (result === 'hangs') return new Promise(() => undefined)
    if (options.latency !== undefined) await wait(options.latency, outer.signal)
    if (result === 'token') return token
    throw result
  }
  const tokens = withRetries(source, {
    clock,
    wait,
    circuit,
    random: () => 0.5,
    timeoutMs: 5000,
    ...options,
  })
  const world = {
    ...time,
    circuit,
    attemptedAt,
    signals,
    outer,
    elapsed: Number.NaN,
    outcome: undefined as unknown,
  }
  /** Fetches a token. Once it settles, its outcome and the milliseconds until then are in `world`. */
  const fetch = (grant = grantFor()) => {
    const keep = (outcome: unknown) => {
      world.outcome = outcome
      world.elapsed = clock.monotonic() - start
    }
    void tokens(grant, outer.signal).then(keep, keep)
  }
  return Object.assign(world, { fetch, tokens })
}

/** Fetches a token and lets all the time pass that it may take. */
export async function outcomeOf(results: readonly Result[], options: Parameters<typeof retryWorld>[1] = {}) {
  const world = retryWorld(results, options)
  world.fetch()
  await world.pass(60_000)
  return world
}
