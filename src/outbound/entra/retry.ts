import type { Clock, Wait } from '../../broker/lib/clock.ts'
import { systemWait } from '../../broker/lib/async/deadline.ts'
import type { TokenSource } from '../../broker/events.ts'
import { asBrokerError, BrokerError } from '../../errors.ts'
import type { Circuit } from './circuit-breaker.ts'

// The last hop, broker → Entra: attempts of one exchange within one deadline. entra.ts makes each attempt.

/** How long an operation may take in all, and how time passes. */
export interface DeadlineOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds for all attempts and the pauses between them. */
  readonly timeoutMs: number
  /** Default: a timer. */
  readonly wait?: Wait
}

/** An operation that is tried again until its deadline. */
export interface RetriedOperation<T> {
  readonly attempt: (signal: AbortSignal) => Promise<T>
  /** Wraps each attempt. Its argument settles at the deadline at the latest, even if the attempt itself does not. */
  readonly aroundAttempt?: (attempt: () => Promise<T>) => Promise<T>
  /** Whether another attempt makes sense after this error. */
  readonly mayRetry: (error: BrokerError) => boolean
  /** Makes the error of a deadline that has passed. */
  readonly timeoutError: () => BrokerError
}

/** Attempts after the first one, at most. */
export const maxRetries = 2
/** The first pause is shorter than this, in milliseconds; each further limit is twice as long. */
export const firstBackoffMs = 100
/** Another attempt is made only if at least this many milliseconds are left for it after the pause. */
const minAttemptMs = 100

/**
 * Runs an operation, with up to two more attempts after errors that may pass. Settles at the deadline at the latest,
 * even if an attempt hangs. Before each further attempt it pauses with full jitter, under 100 ms, then under 200 ms, on
 * top of Retry-After if there is one. If the pause does not fit before the deadline, the error is thrown at once, with
 * its Retry-After.
 *
 * Rejects with a {@link BrokerError}, of reason `aborted` when `outer` aborts.
 */
async function retryUntilDeadline<T>(
  operation: RetriedOperation<T>,
  options: DeadlineOptions,
  outer: AbortSignal,
): Promise<T> {
  if (outer.aborted) throw abortedError()
  const { aroundAttempt = attempt => attempt() } = operation
  const deadline = new Deadline(options, operation.timeoutError, outer)
  try {
    for (let retries = 0; ; retries++) {
      try {
        return await aroundAttempt(() => Promise.race([operation.attempt(deadline.signal), deadline.exceeded]))
      } catch (thrown) {
        const error = asBrokerError(thrown)
        const pause = backoffMs(retries, error, options.random)
        const fits = deadline.remaining() >= pause + minAttemptMs
        if (retries === maxRetries || !fits || deadline.signal.aborted || !operation.mayRetry(error)) throw error
        await deadline.pause(pause)
      }
    }
  } finally {
    deadline.clear()
  }
}

const backoffMs = (retries: number, { parts }: BrokerError, random: () => number): number =>
  (parts.retryAfter ?? 0) * 1000 + random() * firstBackoffMs * 2 ** retries

/** A deadline, as a signal and as a promise. */
class Deadline {
  /** Rejects at the deadline, or when the outer signal aborts. */
  readonly exceeded: Promise<never>
  readonly #controller = new AbortController()
  readonly #cleared = new AbortController()
  readonly #wait: Wait
  readonly #remaining: () => number

  constructor(
    { clock, timeoutMs, wait = systemWait }: DeadlineOptions,
    timeoutError: () => BrokerError,
    outer: AbortSignal,
  ) {
    const { promise, reject } = Promise.withResolvers<never>()
    const endsAt = clock.monotonic() + timeoutMs
    this.exceeded = promise
    this.#wait = wait
    this.#remaining = () => endsAt - clock.monotonic()
    // Without an attempt there is no other handler, and an unhandled rejection would end the process.
    promise.catch(() => undefined)
    const stop = (error: BrokerError) => {
      // Reject before the abort: an attempt that fails because of the abort would otherwise settle first, with its own
      // error.
      reject(error)
      this.#controller.abort()
    }
    wait(timeoutMs, this.#cleared.signal).then(
      () => stop(timeoutError()),
      () => undefined,
    )
    outer.addEventListener('abort', () => stop(abortedError()), { signal: this.#cleared.signal })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Milliseconds that are left. */
  remaining(): number {
    return this.#remaining()
  }

  async pause(ms: number): Promise<void> {
    await Promise.race([this.#wait(ms, this.#controller.signal), this.exceeded])
  }

  clear(): void {
    this.#cleared.abort()
  }
}

const abortedError = () => new BrokerError('upstream_unavailable', 'The exchange was aborted.', { reason: 'aborted' })

/** The deadline of an exchange, and the circuit that it goes through. */
export interface RetryOptions extends DeadlineOptions {
  readonly circuit: Circuit
}

/**
 * Wraps a token source so that each fetch returns a token or throws within `timeoutMs`, even if the authority hangs.
 * Errors that may pass are retried, but not while the authority's circuit is open or half-open. Errors that need an
 * operator are thrown at once; so is `identity_unavailable`, because the assertion's source decides when to try again.
 */
export function withRetries(source: TokenSource, options: RetryOptions): TokenSource {
  const { circuit, timeoutMs } = options
  const mayRetry = ({ handling }: BrokerError) => handling.retry && circuit.state() === 'closed'
  const timeoutError = () =>
    new BrokerError('upstream_unavailable', `Entra did not issue a token within ${timeoutMs} ms.`, {
      reason: 'timeout',
    })

  return (grant, signal) =>
    retryUntilDeadline(
      {
        attempt: inner => source(grant, inner),
        aroundAttempt: attempt => circuit.run(grant.tenant, attempt),
        mayRetry,
        timeoutError,
      },
      options,
      signal,
    )
}
