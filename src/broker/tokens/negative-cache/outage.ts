import { Turns } from '../../lib/turns.ts'
import type { FailureRecord } from './records.ts'
import type { FetchTarget } from './negative-cache-rules.ts'

/**
 * The cached failures of an upstream that is out of order end within so many milliseconds after it has issued a token for
 * any key: each at a random moment of its own (full jitter), so that not all keys are fetched at once.
 */
export const recoveryMs = 500

/** While failures are cached, one probe is made in so many milliseconds, for all keys together, and tenants take turns. */
export const probeEveryMs = 1_000

/** A tenant that has the only failures has one probe in so many milliseconds. */
export const sameTenantEveryMs = 2 * probeEveryMs

/**
 * What the failures of all keys together say about the upstream: when one success ends them, and when a request may find out
 * before the back-off of its key is over. Holds no failures that the negative cache does not hold.
 */
export class Outage {
  readonly #random: () => number
  /** Failures that no success of another key has followed. */
  readonly #failures = new Set<FailureRecord>()
  readonly #turns = new Turns()
  #lastProbe: { readonly tenant: string; readonly at: number } | undefined

  /** @param random uniform in [0, 1) */
  constructor(random: () => number) {
    this.#random = random
  }

  /** Adds a failure that was stored, if it is a sign of an outage. */
  add(record: FailureRecord): void {
    if (isOutage(record)) this.#failures.add(record)
  }

  /** Removes a failure that is no longer stored. */
  delete(record: FailureRecord): void {
    this.#failures.delete(record)
  }

  /**
   * The upstream has issued a token, so its failures end soon, for all keys. A key that fails again has a problem of its own:
   * each success that ends its failure early leaves it twice as much time, so that a tenant that fails is tried hardly more
   * often than its back-off allows.
   *
   * @param now monotonic milliseconds
   */
  recovered(now: number): void {
    for (const record of this.#failures) {
      record.until = Math.min(record.until, now + this.#random() * recoveryMs * 2 ** record.recoveries)
      record.recovered = true
      // What is under way may hang since before.
      record.probe = undefined
    }
    this.#failures.clear()
  }

  /** Whether a request that gets this failure may cause a probe now, although the period of the failure is not over. */
  isProbeDue({ tenant }: FetchTarget, { failedAt }: FailureRecord, now: number): boolean {
    const pause = this.#lastProbe?.tenant === tenant ? sameTenantEveryMs : probeEveryMs
    const due = Math.max(failedAt + probeEveryMs, (this.#lastProbe?.at ?? 0) + pause)
    if (now >= due && this.#turns.may(tenant, now)) return true
    this.#turns.waits(tenant, now)
    return false
  }

  /** A probe of a failure of this tenant is made. */
  probed({ tenant }: FetchTarget, now: number): void {
    this.#turns.took(tenant)
    this.#lastProbe = { tenant, at: now }
  }
}

/** Whether a failure says that the upstream is out of order. */
export const isOutage = ({ error }: FailureRecord): boolean => error.handling.outage !== 'none'
