import type { IssuedToken, TokenSource } from '../../../src/broker/events.ts'
import { createCircuit } from '../../../src/outbound/entra/circuit-breaker.ts'
import { withRetries, type RetryOptions, type Wait } from '../../../src/outbound/entra/retry.ts'
import { grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'
import { failure } from './circuit-world.ts'

const settled = () => new Promise(resolve => setImmediate(resolve))
export const token: IssuedToken = { token: 'token', expiresIn: 3600 }
export const away = (retryAfter?: number) => failure('upstream_unavailable', 'server_error', retryAfter)

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

export type Answer = 'token' | 'hangs' | Error

/** A source that answers in this order, and hangs from then on. Each answer takes `latency` milliseconds. */
export function resilienceWorld(
  answers: readonly Answer[],
  options: Partial<RetryOptions> & { latency?: number } = {},
) {
  const time = movableTime()
  const { clock, wait } = time
  const circuit = createCircuit({ clock })
  const askedAt: number[] = []
  const signals: AbortSignal[] = []
  const outer = new AbortController()
  const start = clock.monotonic()
  const source: TokenSource = async (_, signal) => {
    const answer = answers[askedAt.length] ?? 'hangs'
    askedAt.push(clock.monotonic() - start)
    signals.push(signal)
    if (answer === 'hangs') return new Promise(() => undefined)
    if (options.latency !== undefined) await wait(options.latency, outer.signal)
    if (answer === 'token') return token
    throw answer
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
    askedAt,
    signals,
    outer,
    elapsed: Number.NaN,
    outcome: undefined as unknown,
  }
  /** Asks once; its outcome, and after how many milliseconds, is in `world` once it has one. */
  const ask = (grant = grantFor()) => {
    const keep = (outcome: unknown) => {
      world.outcome = outcome
      world.elapsed = clock.monotonic() - start
    }
    void tokens(grant, outer.signal).then(keep, keep)
  }
  return Object.assign(world, { ask, tokens })
}

/** Asks once and lets all the time pass that it may take. */
export async function outcomeOf(answers: readonly Answer[], options: Parameters<typeof resilienceWorld>[1] = {}) {
  const world = resilienceWorld(answers, options)
  world.ask()
  await world.pass(60_000)
  return world
}
