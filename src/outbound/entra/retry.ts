import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../broker/lib/clock.ts'
import type { TokenSource } from '../../broker/events.ts'
import { asBrokerError, BrokerError } from '../../errors.ts'
import type { Circuit } from './circuit-breaker.ts'

/** Resolves after `ms`; rejects when the signal aborts first. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>

/** How long something may take in all, and by what that is measured. */
export interface BudgetOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds for everything: attempts, and the pauses between them. */
  readonly timeoutMs: number
  /** Default: a timer. */
  readonly wait?: Wait
}

/** What is tried within a budget. */
export interface RetriedWork<T> {
  readonly attempt: (signal: AbortSignal) => Promise<T>
  /** Surrounds each attempt; what it is given settles when the time is over, whether or not the attempt does. */
  readonly around?: (attempt: () => Promise<T>) => Promise<T>
  /** Whether another attempt can help. */
  readonly mayRetry: (error: BrokerError) => boolean
  /** The error when the time is over. */
  readonly expired: () => BrokerError
}

/** Attempts after the first one. */
export const maxRetries = 2
/** Milliseconds of the first pause at most; the next is twice as long. */
export const firstPauseMs = 100
/** Milliseconds that must be left after a pause for another attempt to be worth it. */
const leastAttemptMs = 100

/**
 * Tries something until it succeeds, for no longer than the budget, whatever hangs: up to two more attempts after
 * failures that may pass, each after a pause of full jitter under 100 ms, then 200 ms, on top of Retry-After if there is
 * one. A pause that does not fit into what is left is not begun: the failure is thrown at once, with its Retry-After.
 *
 * Rejects with a {@link BrokerError}: `withdrawn` as its reason when `outer` aborts.
 */
async function withinBudget<T>(patient: RetriedWork<T>, options: BudgetOptions, outer: AbortSignal): Promise<T> {
  if (outer.aborted) throw withdrawn()
  const { around = attempt => attempt() } = patient
  const budget = new Budget(options, patient.expired, outer)
  try {
    for (let retries = 0; ; retries++) {
      try {
        return await around(() => Promise.race([patient.attempt(budget.signal), budget.over]))
      } catch (thrown) {
        const error = asBrokerError(thrown)
        const pause = pauseBefore(retries, error, options.random)
        const fits = budget.remaining() >= pause + leastAttemptMs
        if (retries === maxRetries || !fits || budget.signal.aborted || !patient.mayRetry(error)) throw error
        await budget.pause(pause)
      }
    }
  } finally {
    budget.end()
  }
}

const pauseBefore = (retries: number, { parts }: BrokerError, random: () => number): number =>
  (parts.retryAfter ?? 0) * 1000 + random() * firstPauseMs * 2 ** retries

/** The time that is left for something, as a signal and as a promise. */
class Budget {
  /** Rejects when the time is over, or when the outer signal aborts. */
  readonly over: Promise<never>
  readonly #controller = new AbortController()
  readonly #ended = new AbortController()
  readonly #wait: Wait
  readonly #remaining: () => number

  constructor({ clock, timeoutMs, wait = timer }: BudgetOptions, expired: () => BrokerError, outer: AbortSignal) {
    const { promise, reject } = Promise.withResolvers<never>()
    const deadline = clock.monotonic() + timeoutMs
    this.over = promise
    this.#wait = wait
    this.#remaining = () => deadline - clock.monotonic()
    // Where no attempt is made, nobody listens.
    promise.catch(() => undefined)
    const stop = (error: BrokerError) => {
      // First the reason, then the abort, or its consequences are taken for the reason.
      reject(error)
      this.#controller.abort()
    }
    wait(timeoutMs, this.#ended.signal).then(
      () => stop(expired()),
      () => undefined,
    )
    outer.addEventListener('abort', () => stop(withdrawn()), { signal: this.#ended.signal })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Milliseconds. */
  remaining(): number {
    return this.#remaining()
  }

  async pause(ms: number): Promise<void> {
    await Promise.race([this.#wait(ms, this.#controller.signal), this.over])
  }

  end(): void {
    this.#ended.abort()
  }
}

const timer: Wait = (ms, signal) => sleep(ms, undefined, { signal })

const withdrawn = () => new BrokerError('upstream_unavailable', 'The exchange was cancelled.', { reason: 'withdrawn' })

/** The budget of an exchange, and the circuit that it goes through. */
export interface RetryOptions extends BudgetOptions {
  readonly circuit: Circuit
}

/**
 * Wraps a token source so that whoever asks gets a token or a failure within `timeoutMs`, whatever hangs: with retries of
 * what may pass, and with no attempt while the authority's circuit is open. Failures that somebody must act upon are
 * thrown at once; so is `identity_unavailable`, whose own source knows when to try again.
 */
export function withRetries(source: TokenSource, options: RetryOptions): TokenSource {
  const { circuit, timeoutMs } = options
  const mayRetry = ({ handling }: BrokerError) => handling.retry && circuit.state() === 'closed'
  const expired = () =>
    new BrokerError('upstream_unavailable', `Entra did not issue a token within ${timeoutMs} ms.`, {
      reason: 'timeout',
    })

  return (grant, signal) =>
    withinBudget(
      {
        attempt: inner => source(grant, inner),
        around: attempt => circuit.run(grant.tenant, attempt),
        mayRetry,
        expired,
      },
      options,
      signal,
    )
}
