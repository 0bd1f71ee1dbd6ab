import { LRUCache } from 'lru-cache'
import { BrokerError, type LimitFacts } from '../../errors.ts'
import type { Clock } from '../lib/clock.ts'
import type { Grant } from './authorize.ts'
import type { Limit } from '../policy/model.ts'

/** What rules limit: requests for tokens, and exchanges with Entra that they cause. */
export interface Limits {
  /**
   * Counts a request.
   * @returns what is left; `undefined` where nothing limits it
   * @throws BrokerError `rate_limited`
   */
  readonly request: (grant: Grant) => LimitFacts | undefined
  /**
   * Counts an exchange: to be asked once for each fetch, before it begins, by the grant that causes it. Who joins a fetch
   * that is under way causes none.
   *
   * @throws BrokerError `rate_limited`
   */
  readonly exchange: (grant: Grant) => void
}

const rememberedBuckets = 10_000

/** So much was left at this moment. */
interface Bucket {
  /** Each millisecond adds the limit's count to it, and each token costs the limit's period in milliseconds. */
  credit: number
  /** Monotonic milliseconds. */
  at: number
}

/**
 * One token bucket for each caller and rule, per replica: it holds as many as the limit counts, and fills evenly over its
 * period. Callers who have not been seen for long enough that ten thousand others came begin with a full one.
 */
export function createLimits(clock: Pick<Clock, 'monotonic'>): Limits {
  const buckets = new LRUCache<string, Bucket>({ max: rememberedBuckets })

  const take = (what: LimitFacts['what'], { caller }: Grant, limit: Limit): LimitFacts => {
    const now = clock.monotonic()
    const key = `${what} ${limit.rule} ${caller.id}`
    const { count, seconds } = limit
    const cost = seconds * 1000
    const bucket = buckets.get(key) ?? { credit: count * cost, at: now }
    bucket.credit = Math.min(count * cost, bucket.credit + (now - bucket.at) * count)
    bucket.at = now
    buckets.set(key, bucket)
    const isAllowed = bucket.credit >= cost
    if (isAllowed) bucket.credit -= cost
    const remaining = Math.floor(bucket.credit / cost)
    const missing = (remaining > 0 ? count * cost : cost) - bucket.credit
    const facts = { what, count, seconds, remaining, resetIn: Math.ceil(missing / count / 1000) }
    if (isAllowed) return facts
    throw new BrokerError('rate_limited', details[what], {
      reason: what satisfies 'requests' | 'exchanges',
      retryAfter: Math.max(1, facts.resetIn),
      limit: facts,
    })
  }

  return {
    request: grant => grant.requestLimit && take('requests', grant, grant.requestLimit),
    exchange: grant => void (grant.exchangeLimit && take('exchanges', grant, grant.exchangeLimit)),
  }
}

const details = {
  requests: 'This caller makes more requests than its rule allows.',
  exchanges: 'This caller asks for more tokens that are not at hand than its rule allows.',
} as const
