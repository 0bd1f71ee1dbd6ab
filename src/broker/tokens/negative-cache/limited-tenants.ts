import type { BrokerError } from '../../../errors.ts'
import type { FetchFilter } from '../../events.ts'
import type { FetchTarget } from './negative-cache-rules.ts'
import { createLru } from '../../lib/lru.ts'
import { type CachedFailure, matches } from './records.ts'

const maxTenants = 10_000
/** So long after the last exchange that was refused, in milliseconds, a tenant is listed: a person may look once a minute. */
const listedMs = 60_000
/** Greater than the sequence numbers of cached failures, so that both make one list, page by page. Has 15 digits. */
const firstOrder = 1e14

interface LimitedTenant extends CachedFailure {
  /** When an exchange was last refused, in monotonic milliseconds. */
  readonly lastAt: number
}

/**
 * Remembers the applications and tenants whose limit of exchanges was reached lately, for the list of failures. Nothing is
 * refused because of it: the limit itself decides about each exchange.
 */
export class LimitedTenants {
  readonly #records = createLru<string, LimitedTenant>(maxTenants)
  #order = firstOrder

  /**
   * An exchange was refused.
   * @param error with the seconds until the next one is possible
   * @param now monotonic milliseconds
   */
  add(target: FetchTarget, error: BrokerError, now: number): void {
    // The limit is that of the application: its agent identities share it.
    const key = `${target.clientId} ${target.tenant}`
    const known = this.#records.get(key)
    const current = known && isListed(known, now) ? known : undefined
    this.#records.set(key, {
      level: 'tenant',
      clientId: target.clientId,
      agentId: undefined,
      tenant: target.tenant,
      scope: undefined,
      error,
      failures: (current?.failures ?? 0) + 1,
      since: current?.since ?? now,
      until: now + (error.retryAfter ?? 1) * 1000,
      order: current?.order ?? ++this.#order,
      lastAt: now,
    })
  }

  /** Those of the last minute, in no order. @param now monotonic milliseconds */
  all(now: number): readonly CachedFailure[] {
    return [...this.#records.values()].filter(record => isListed(record, now))
  }

  /** A purge ends what is known, and not the limit. */
  purge(filter: FetchFilter): void {
    const matching = [...this.#records.entries()].filter(([, record]) => matches(record, filter))
    for (const [key] of matching) this.#records.delete(key)
  }
}

const isListed = ({ lastAt }: LimitedTenant, now: number): boolean => now - lastAt < listedMs
